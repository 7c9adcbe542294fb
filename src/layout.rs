//! How many shards, on which cores, and whether they spin: decided once, from what the process may use.

use std::num::NonZero;
use std::thread::available_parallelism;
use std::time::Duration;

use shards::config::{MAX_SHARDS, ShardLayout};

use crate::options::{Pin, ShardOptions};

/// How long a shard looks for work before it sleeps, when that costs nobody a core.
const DEFAULT_SPIN: Duration = Duration::from_micros(20);

/// The CPUs that the process may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpus {
    /// Kernel numbers in the affinity mask. Empty when the system does not tell.
    pub cores: Vec<usize>,
    /// CPUs' worth of time: smaller than the mask under a quota.
    pub parallelism: usize,
}

impl Cpus {
    /// Asks the system. Must run before any thread is pinned, because it reads the calling thread's mask.
    pub fn of_process() -> Cpus {
        let cores: Vec<usize> =
            core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect();
        let parallelism = available_parallelism().map_or_else(|_| cores.len().max(1), NonZero::get);
        Cpus { cores, parallelism }
    }

    /// CPUs that can really run at the same time.
    fn usable(&self) -> usize {
        match self.cores.len() {
            0 => self.parallelism,
            cores => cores.min(self.parallelism),
        }
    }
}

/// The layout that the options ask for, and warnings where it is not possible.
pub fn layout(options: &ShardOptions, cpus: &Cpus) -> (ShardLayout, Vec<String>) {
    let mut warnings = Vec::new();
    let default_count = match &options.pin {
        Pin::Cores(cores) => cores.len(),
        Pin::Auto | Pin::Off => cpus.usable(),
    };
    let count = options.count.unwrap_or(default_count).clamp(1, MAX_SHARDS);

    let cores = match &options.pin {
        Pin::Off => Vec::new(),
        Pin::Auto => auto_cores(count, cpus),
        Pin::Cores(wanted) => {
            let (allowed, refused): (Vec<usize>, Vec<usize>) =
                wanted.iter().partition(|core| cpus.cores.is_empty() || cpus.cores.contains(core));
            if !refused.is_empty() {
                warnings.push(format!(
                    "Cannot pin shards to {}: this process may use {} only. Change --pin or the process's CPU set",
                    cores_text(&refused),
                    cores_text(&cpus.cores)
                ));
            }
            allowed
        }
    };

    let own_cores = count <= cores.len() && count <= cpus.usable();
    let spin = match options.spin {
        // One shard alone has nobody to wait for.
        None if own_cores && count > 1 => DEFAULT_SPIN,
        None => Duration::ZERO,
        Some(spin) if !spin.is_zero() && count > cpus.usable() => {
            warnings.push(format!(
                "Shards will not spin: {count} of them would take {} CPUs from each other. Lower --shards or leave out --spin",
                cpus.usable()
            ));
            Duration::ZERO
        }
        Some(spin) => spin,
    };
    (ShardLayout { count, cores, spin }, warnings)
}

/// A core for every shard, if the process has so many to itself. Under a quota the kernel knows better which CPUs have
/// time left, and a single shard on a larger machine would only fight over the first core with its like.
fn auto_cores(count: usize, cpus: &Cpus) -> Vec<usize> {
    let whole_mask_is_ours = cpus.parallelism >= cpus.cores.len();
    if count <= cpus.cores.len() && whole_mask_is_ours && (count > 1 || cpus.cores.len() == 1) {
        cpus.cores.iter().copied().take(count).collect()
    } else {
        Vec::new()
    }
}

/// What the log says about the layout.
pub fn describe(layout: &ShardLayout) -> String {
    let shards = if layout.count == 1 { "1 shard".to_owned() } else { format!("{} shards", layout.count) };
    match layout.cores.get(..layout.count).unwrap_or(&layout.cores) {
        [] => format!("{shards}, not pinned to cores"),
        cores => format!("{shards} on {}", cores_text(cores)),
    }
}

fn cores_text(cores: &[usize]) -> String {
    let numbers: Vec<String> = cores.iter().map(ToString::to_string).collect();
    format!("{} {}", if numbers.len() == 1 { "core" } else { "cores" }, numbers.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOUR: [usize; 4] = [0, 1, 4, 5];

    fn laid_out(count: Option<usize>, pin: Pin, spin: Option<u64>, parallelism: usize) -> (ShardLayout, usize) {
        let options = ShardOptions { count, pin, spin: spin.map(Duration::from_micros) };
        let (layout, warnings) = layout(&options, &Cpus { cores: FOUR.to_vec(), parallelism });
        (layout, warnings.len())
    }

    #[test]
    fn takes_every_core_by_default() {
        let (layout, warnings) = laid_out(None, Pin::Auto, None, 4);
        assert_eq!((layout.count, layout.cores.as_slice(), layout.spin), (4, &FOUR[..], DEFAULT_SPIN));
        assert_eq!(warnings, 0);
        assert_eq!(describe(&layout), "4 shards on cores 0,1,4,5");
    }

    #[test]
    fn a_quota_lowers_the_count_and_leaves_the_choice_to_the_kernel() {
        let (layout, _) = laid_out(None, Pin::Auto, None, 2);
        assert_eq!((layout.count, layout.cores.len(), layout.spin), (2, 0, Duration::ZERO));
        assert_eq!(describe(&layout), "2 shards, not pinned to cores");
    }

    #[test]
    fn more_shards_than_cores_neither_pin_nor_spin() {
        let (layout, warnings) = laid_out(Some(8), Pin::Auto, None, 4);
        assert_eq!((layout.count, layout.cores.len(), layout.spin, warnings), (8, 0, Duration::ZERO, 0));
        let (layout, warnings) = laid_out(Some(8), Pin::Auto, Some(50), 4);
        assert_eq!((layout.spin, warnings), (Duration::ZERO, 1));
    }

    #[test]
    fn a_list_says_cores_and_count() {
        let (layout, warnings) = laid_out(None, Pin::Cores(vec![5, 0]), None, 4);
        assert_eq!((layout.count, layout.cores.as_slice(), layout.spin, warnings), (2, &[5, 0][..], DEFAULT_SPIN, 0));
        let (layout, _) = laid_out(Some(3), Pin::Cores(vec![5, 0]), None, 4);
        assert_eq!((layout.count, layout.cores.len(), layout.spin), (3, 2, Duration::ZERO));
    }

    #[test]
    fn cores_of_others_are_left_alone_with_a_warning() {
        let (layout, warnings) = laid_out(None, Pin::Cores(vec![0, 2]), None, 4);
        assert_eq!((layout.count, layout.cores.as_slice(), layout.spin, warnings), (2, &[0][..], Duration::ZERO, 1));
        assert_eq!(describe(&layout), "2 shards on core 0");
    }

    #[test]
    fn off_is_off_and_one_shard_does_not_spin() {
        let (layout, _) = laid_out(None, Pin::Off, None, 4);
        assert_eq!((layout.count, layout.cores.len(), layout.spin), (4, 0, Duration::ZERO));
        let (layout, _) = laid_out(Some(1), Pin::Cores(vec![4]), None, 4);
        assert_eq!(layout.spin, Duration::ZERO);
        assert_eq!(describe(&layout), "1 shard on core 4");
    }
}
