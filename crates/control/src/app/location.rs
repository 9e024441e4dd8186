//! Locations: any name is one. Those that the configuration names are listed.

use super::App;

/// The location that always exists.
pub const DEFAULT_LOCATION: &str = "local";

impl App {
    /// The names of the locations that can be offered, in order.
    pub fn location_list(&self) -> Vec<String> {
        let mut names: Vec<String> = self.config.storage.keys().cloned().collect();
        names.push(DEFAULT_LOCATION.to_owned());
        names.sort();
        names.dedup();
        names
    }
}
