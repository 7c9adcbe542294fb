//! What clients are told of the cluster: its name, and where else they may connect to. It is in every INFO; clients that want to know of
//! changes get another one when the addresses change, some of them in each turn, because there may be very many.

use std::sync::Arc;

use super::Core;

/// Places of the table of connections that one turn looks at.
const SLOTS: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct ClusterView {
    /// Name of the cluster.
    pub name: Option<Arc<str>>,
    /// Where clients may connect to; `None` before there was another server.
    pub connect_urls: Option<Arc<[String]>>,
    /// Counts the changes of those.
    pub version: u32,
    /// The first place of the table that was not looked at since the last change.
    next: Option<usize>,
}

impl ClusterView {
    /// Of a server that has not met another one.
    pub fn new(name: Option<&str>) -> Self {
        ClusterView { name: name.map(Arc::from), ..ClusterView::default() }
    }

    /// Are there clients that may have to be told?
    pub fn is_being_told(&self) -> bool {
        self.next.is_some()
    }
}

impl Core {
    pub(super) fn cluster_changed(&mut self, name: Arc<str>, connect_urls: Option<Arc<[String]>>) {
        let view = &mut self.cluster;
        view.name = Some(name);
        if view.connect_urls != connect_urls {
            view.connect_urls = connect_urls;
            view.version = view.version.wrapping_add(1);
            view.next = Some(0);
        }
    }

    /// Sends some clients an INFO, if there is news.
    pub(super) fn tell_some_of_the_cluster(&mut self) {
        let Some(from) = self.cluster.next else { return };
        let end = self.connections.capacity();
        let until = end.min(from.saturating_add(SLOTS));
        for index in from..until {
            let Some(connection) = self.connections.get(index) else { continue };
            // Who has not got that far is told with the INFO that follows its first PONG.
            if connection.flags.first_pong
                && connection.options.protocol >= 1
                && connection.cluster_version != self.cluster.version
                && connection.closing.is_none()
            {
                self.write_info(connection.key, false);
            }
        }
        self.cluster.next = (until < end).then_some(until);
    }
}
