//! Notes of earlier versions about folders of results.

use std::fs;
use std::path::Path;

use athanor_cache::hash_value;
use serde_json::json;

use crate::run::state::history::History;
use crate::run::state::history::identity::path_value;

impl History {
    /// Note of an earlier version, stored in the cache, about the folder `results` of `project`.
    pub fn earlier_results_note(&self, project: &Path, results: &str) -> Option<Vec<u8>> {
        let identity = json!({ "project": path_value(project), "results": results });
        let key = hash_value("athanor results 1", &identity).short();
        let folder = self.folder().parent().unwrap_or(self.folder());
        fs::read(folder.join(format!("results-{key}.json"))).ok()
    }
}
