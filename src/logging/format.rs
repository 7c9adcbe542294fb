//! One log line: `[pid] YYYY/MM/DD hh:mm:ss.uuuuuu [LVL] message`.

use std::fmt;
use std::io::{self, Write};

use jiff::Timestamp;
use log::{Level, Record};

use super::{FATAL, Style};

/// The three letters of a level, and their colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    letters: &'static str,
    colour: &'static str,
}

impl Label {
    /// For news.
    pub const INFO: Label = Label { letters: "INF", colour: "32" };
    /// For what needs a look.
    pub const WARNING: Label = Label { letters: "WRN", colour: "0;93" };

    /// The label of a record.
    pub fn of(record: &Record<'_>) -> Label {
        match record.level() {
            Level::Error if record.target() == FATAL => Label { letters: "FTL", colour: "31" },
            Level::Error => Label { letters: "ERR", colour: "31" },
            Level::Warn => Label::WARNING,
            Level::Info => Label::INFO,
            Level::Debug => Label { letters: "DBG", colour: "36" },
            Level::Trace => Label { letters: "TRC", colour: "33" },
        }
    }
}

/// Writes a line with its newline. A message with line breaks stays as it is.
pub fn write_line(to: &mut dyn Write, style: &Style, label: Label, message: &fmt::Arguments<'_>) -> io::Result<()> {
    write!(to, "[{}] ", style.pid)?;
    if let Some(zone) = &style.time {
        let now = zone.to_datetime(Timestamp::now());
        let (date, time) = (now.date(), now.time());
        write!(
            to,
            "{:04}/{:02}/{:02} {:02}:{:02}:{:02}.{:06} ",
            date.year(),
            date.month(),
            date.day(),
            time.hour(),
            time.minute(),
            time.second(),
            time.subsec_nanosecond() / 1000,
        )?;
    }
    let Label { letters, colour } = label;
    if style.colour {
        writeln!(to, "[\x1b[{colour}m{letters}\x1b[0m] {message}")
    } else {
        writeln!(to, "[{letters}] {message}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    fn line(time: Option<TimeZone>, colour: bool, label: Label) -> String {
        let mut written = Vec::new();
        write_line(&mut written, &Style { pid: 7, time, colour }, label, &format_args!("two\nlines")).unwrap();
        String::from_utf8(written).unwrap()
    }

    #[test]
    fn has_the_reference_layout() {
        assert_eq!(line(None, false, Label::INFO), "[7] [INF] two\nlines\n");
        assert_eq!(line(None, true, Label::WARNING), "[7] [\x1b[0;93mWRN\x1b[0m] two\nlines\n");
        let timed = line(Some(TimeZone::UTC), false, Label::INFO);
        let digits: String = timed.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(digits, "[0] 0000/00/00 00:00:00.000000 [INF] two\nlines\n");
    }

    #[test]
    fn levels_have_their_letters() {
        let letters = |level, target| Label::of(&Record::builder().level(level).target(target).build()).letters;
        assert_eq!(letters(Level::Error, "x"), "ERR");
        assert_eq!(letters(Level::Error, FATAL), "FTL");
        assert_eq!(letters(Level::Warn, "x"), "WRN");
        assert_eq!(letters(Level::Info, "x"), "INF");
        assert_eq!(letters(Level::Debug, "x"), "DBG");
        assert_eq!(letters(Level::Trace, "x"), "TRC");
    }
}
