//! The standard's variables. What cannot be followed is refused at the start, since nobody looks for a trace that is
//! missing before it is needed. Messages name the variable and never its value, which may be a secret.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use opentelemetry_sdk::trace::Sampler;

const DISABLED: &str = "OTEL_SDK_DISABLED";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
const TIMEOUTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
/// The one protocol that is spoken.
const PROTOCOL: &str = "http/protobuf";
/// How long a batch may take, unless the environment says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How traces are sent. Endpoint and headers are checked here and read by the exporter itself.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) sampler: Sampler,
    pub(super) timeout: Duration,
}

impl Settings {
    /// What the variables say; none when no traces are asked for.
    pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Option<Self>> {
        let set = |name: &str| {
            let value = variable(name).map(|value| value.trim().to_owned());
            value.filter(|value| !value.is_empty())
        };
        let first =
            |names: [&'static str; 2]| names.into_iter().find_map(|name| Some((name, set(name)?)));
        if set(DISABLED).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let Some((name, endpoint)) = first(ENDPOINTS) else { return Ok(None) };
        match set(EXPORTER).as_deref() {
            None | Some("otlp") => {}
            Some("none") => return Ok(None),
            Some(_) => bail!("{EXPORTER} is neither otlp nor none, and nothing else is there"),
        }
        check_endpoint(name, &endpoint)?;
        if let Some((name, protocol)) = first(PROTOCOLS) {
            ensure!(protocol == PROTOCOL, "{name} is not {PROTOCOL}, and nothing else is spoken");
        }
        if let Some((name, headers)) = first(HEADERS) {
            check_headers(name, &headers)?;
        }
        let timeout = match first(TIMEOUTS) {
            None => TIMEOUT,
            Some((name, text)) => {
                let milliseconds = text.parse().ok().filter(|number| *number > 0);
                Duration::from_millis(
                    milliseconds.with_context(|| format!("{name} is no number of milliseconds"))?,
                )
            }
        };
        let sampler = sampler(set(SAMPLER).as_deref(), set(SAMPLER_ARGUMENT).as_deref())?;
        Ok(Some(Self { sampler, timeout }))
    }
}

fn check_endpoint(name: &str, endpoint: &str) -> anyhow::Result<()> {
    let url = url::Url::parse(endpoint).ok();
    let Some(url) = url.filter(|url| matches!(url.scheme(), "http" | "https")) else {
        bail!("{name} is no URL that begins with http:// or https://");
    };
    let has_login = !url.username().is_empty() || url.password().is_some();
    ensure!(!has_login, "{name} holds a name or a password, which belong into {}", HEADERS[1]);
    Ok(())
}

fn check_headers(name: &str, headers: &str) -> anyhow::Result<()> {
    for header in headers.split(',').filter(|header| !header.trim().is_empty()) {
        let key = header.split_once('=').map(|(key, _)| key.trim()).unwrap_or_default();
        ensure!(
            http::HeaderName::try_from(key).is_ok(),
            "{name} is no list of headers as in key=value,key=value"
        );
    }
    Ok(())
}

fn sampler(name: Option<&str>, argument: Option<&str>) -> anyhow::Result<Sampler> {
    let ratio = || {
        let ratio = argument.map_or(Ok(1.0), str::parse::<f64>);
        let ratio = ratio.ok().filter(|ratio| (0.0..=1.0).contains(ratio));
        let ratio =
            ratio.with_context(|| format!("{SAMPLER_ARGUMENT} is no number from 0 to 1"))?;
        anyhow::Ok(Sampler::TraceIdRatioBased(ratio))
    };
    let below = |root: Sampler| Sampler::ParentBased(Box::new(root));
    Ok(match name {
        None | Some("parentbased_always_on") => below(Sampler::AlwaysOn),
        Some("parentbased_always_off") => below(Sampler::AlwaysOff),
        Some("parentbased_traceidratio") => below(ratio()?),
        Some("always_on") => Sampler::AlwaysOn,
        Some("always_off") => Sampler::AlwaysOff,
        Some("traceidratio") => ratio()?,
        Some(_) => bail!(
            "{SAMPLER} is none of always_on, always_off, traceidratio and these with parentbased_ before"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> anyhow::Result<Option<Settings>> {
        Settings::read(|name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");

    #[test]
    fn traces_are_sent_only_when_somebody_says_where_to() {
        assert!(read(&[]).unwrap().is_none());
        assert!(read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]).unwrap().is_none());
        assert!(read(&[(PROTOCOLS[1], "grpc")]).unwrap().is_none());
        let settings = read(&[ENDPOINT]).unwrap().unwrap();
        assert_eq!(settings.timeout, TIMEOUT);
        assert!(matches!(settings.sampler, Sampler::ParentBased(_)));
        assert!(read(&[(ENDPOINTS[0], ENDPOINT.1)]).unwrap().is_some());
    }

    #[test]
    fn they_can_be_switched_off_whatever_else_is_set() {
        for off in [(DISABLED, "TRUE"), (EXPORTER, "none")] {
            assert!(read(&[ENDPOINT, (PROTOCOLS[0], "grpc"), off]).unwrap().is_none());
        }
        assert!(read(&[ENDPOINT, (DISABLED, "false")]).unwrap().is_some());
    }

    #[test]
    fn what_cannot_be_followed_is_refused_by_name_and_without_its_value() {
        let refused = [
            (PROTOCOLS[1], "grpc-secret"),
            (PROTOCOLS[0], "http/json-secret"),
            (EXPORTER, "zipkin-secret"),
            (SAMPLER, "jaeger-secret"),
            (HEADERS[1], "api key=secret"),
            (HEADERS[0], "secret"),
            (TIMEOUTS[1], "secret"),
            (ENDPOINTS[0], "collector-secret:4318"),
            (ENDPOINTS[0], "http://user:secret@collector:4318"),
        ];
        for (name, value) in refused {
            let error = read(&[ENDPOINT, (name, value)]).unwrap_err().to_string();
            assert!(error.starts_with(name) && !error.contains("secret"), "{error}");
        }
        for argument in ["-1", "2", "NaN", "half"] {
            let sampled = [ENDPOINT, (SAMPLER, "traceidratio"), (SAMPLER_ARGUMENT, argument)];
            let error = read(&sampled).unwrap_err().to_string();
            assert!(error.starts_with(SAMPLER_ARGUMENT), "{error}");
        }
    }

    #[test]
    fn the_sampler_is_the_one_named() {
        let named = |name, argument| {
            let variables = [ENDPOINT, (SAMPLER, name), (SAMPLER_ARGUMENT, argument)];
            format!("{:?}", read(&variables).unwrap().unwrap().sampler)
        };
        assert_eq!(named("always_off", ""), "AlwaysOff");
        assert_eq!(named("traceidratio", "0.25"), "TraceIdRatioBased(0.25)");
        assert_eq!(named("traceidratio", ""), "TraceIdRatioBased(1.0)");
        assert!(named("parentbased_traceidratio", "0.5").contains("TraceIdRatioBased(0.5)"));
    }
}
