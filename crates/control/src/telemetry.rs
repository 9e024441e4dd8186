//! Numbers about the running process, in Prometheus' text form.
//!
//! The recorder is the process's own: services started side by side in one process (tests) share it.

use std::fmt::Display;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Seconds: from an answer out of memory to a slow client.
const REQUEST_BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0];

/// Seconds of a backup or a restore: from a small database to a day.
const JOB_BUCKETS: [f64; 10] =
    [0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0];

static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Begins to record. Later calls do nothing.
pub(crate) fn install() {
    HANDLE.get_or_init(|| {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &REQUEST_BUCKETS)
            .and_then(|builder| {
                let jobs = Matcher::Full("coffer_job_seconds".to_owned());
                builder.set_buckets_for_metric(jobs, &JOB_BUCKETS)
            });
        match builder.map(PrometheusBuilder::install_recorder) {
            Ok(Ok(handle)) => Some(handle),
            Ok(Err(error)) | Err(error) => {
                tracing::error!(%error, "no metrics are recorded");
                None
            }
        }
    });
}

/// Everything recorded so far.
pub(crate) fn render() -> String {
    HANDLE.get().and_then(Option::as_ref).map(PrometheusHandle::render).unwrap_or_default()
}

/// Folds finished histograms; to be called now and then.
pub(crate) fn upkeep() {
    if let Some(Some(handle)) = HANDLE.get() {
        handle.run_upkeep();
    }
}

/// Numbers that one service has read from its metadata. They are replaced as a whole, so that nothing is told of what is gone.
#[derive(Debug, Default)]
pub struct Gauges(RwLock<Arc<str>>);

impl Gauges {
    /// Takes the place of what was told before.
    pub(crate) fn replace(&self, text: GaugeText) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = text.0.into();
    }

    /// What is told now.
    pub(crate) fn text(&self) -> Arc<str> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Gauges being written down.
#[derive(Debug, Default)]
pub(crate) struct GaugeText(String);

impl GaugeText {
    /// A gauge without labels.
    pub(crate) fn one(&mut self, name: &str, value: impl Display) {
        self.each(name, "", [("", value)]);
    }

    /// A gauge that has a value for each value of its label.
    pub(crate) fn each<L: AsRef<str>, V: Display>(
        &mut self,
        name: &str,
        label: &str,
        values: impl IntoIterator<Item = (L, V)>,
    ) {
        let mut line = |text: &str| {
            self.0.push_str(text);
            self.0.push('\n');
        };
        line(&format!("# TYPE {name} gauge"));
        for (of, value) in values {
            if label.is_empty() {
                line(&format!("{name} {value}"));
            } else {
                line(&format!("{name}{{{label}=\"{}\"}} {value}", escaped(of.as_ref())));
            }
        }
    }
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_replaced_is_told_no_more_and_labels_cannot_break_out() {
        let gauges = Gauges::default();
        let mut text = GaugeText::default();
        text.each("age", "instance", [("/a\"} 1\n", 2), ("b\\", 3)]);
        gauges.replace(text);
        assert_eq!(
            &*gauges.text(),
            "# TYPE age gauge\nage{instance=\"/a\\\"} 1\\n\"} 2\nage{instance=\"b\\\\\"} 3\n"
        );
        let mut text = GaugeText::default();
        text.one("count", 1);
        gauges.replace(text);
        assert_eq!(&*gauges.text(), "# TYPE count gauge\ncount 1\n");
    }
}
