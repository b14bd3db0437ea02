//! The variables `TROUPE_...` as directives: `TROUPE_MAXCLIENTS=9` is `maxclients 9`.
//!
//! Kubernetes gives every container variables that tell of the services beside it, service links:
//! for one that is called `troupe`, or `troupe-` and something, they begin like ours. They are told
//! by their form and left alone; a variable of another form that is no setting stops the start.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use troupe::settings::{conf, find};

use super::fatal::{self, DirectivePlace, Fatal};
use super::layer::Line;

const PREFIX: &str = "TROUPE_";

/// What the environment says.
#[derive(Debug, Default)]
pub(super) struct Environment {
    /// Its directives, sorted.
    pub(super) lines: Vec<Line>,
    /// The variables that are service links, sorted.
    links: Vec<String>,
}

impl Environment {
    pub(super) fn of(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Environment, Fatal> {
        let mut environment = Environment::default();
        for (variable, value) in variables {
            let (variable, value) = (variable.to_string_lossy(), value.into_vec());
            let Some(name) = variable.strip_prefix(PREFIX) else { continue };
            let dashed = name.to_ascii_lowercase().replace('_', "-");
            let name = if find(&dashed).is_some() { dashed } else { name.to_ascii_lowercase() };
            let shown = String::from_utf8_lossy(&value);
            if is_service_link(&name.replace('-', "_"), &shown) {
                environment.links.push(variable.into_owned());
                continue;
            }
            let text = format!("{variable}={shown}");
            let place = DirectivePlace::Environment;
            let words = match find(&name) {
                Some(setting) => setting.kind.split(value),
                None => Some(vec![value]),
            };
            let unbalanced = || fatal::grammar(place.clone(), &text, conf::UNBALANCED);
            let words = words.ok_or_else(unbalanced)?;
            environment.lines.push(Line { place, text, name, words });
        }
        environment.lines.sort_by(|one, other| one.text.cmp(&other.text));
        environment.links.sort();
        Ok(environment)
    }

    /// One line on the service links, if there are any.
    pub(super) fn warning(&self) -> Option<String> {
        (!self.links.is_empty()).then(|| {
            let links = self.links.join(", ");
            format!(
                "environment: {links}: left alone, as service links of Kubernetes \
                 (enableServiceLinks: false in the pod keeps them out)"
            )
        })
    }
}

/// Whether a variable is one that Kubernetes makes of a service. `name` is what follows the prefix,
/// in lower case: `service_host`, `port_6379_tcp_addr`, or those behind the rest of the service's
/// name (`redis_service_port_metrics`). `port` is told from the setting by its value, an address.
fn is_service_link(name: &str, value: &str) -> bool {
    const ADDRESSES: &[&str] = &["tcp://", "udp://", "sctp://"];
    let words: Vec<&str> = name.split('_').collect();
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let ends = |tail: &[&str]| match tail {
        ["service", "host"] | ["service", "port", ..] => true,
        ["port"] => ADDRESSES.iter().any(|scheme| value.starts_with(scheme)),
        ["port", number, "tcp" | "udp" | "sctp", rest @ ..] => {
            is_number(number) && matches!(rest, [] | ["proto" | "port" | "addr"])
        }
        _ => false,
    };
    (0..words.len()).any(|start| ends(&words[start..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_links_are_told_by_their_form() {
        for (name, value) in [
            ("service_host", "10.0.0.1"),
            ("service_port", "6379"),
            ("service_port_redis", "6379"),
            ("service_port_my_metrics", "6379"),
            ("port", "tcp://10.0.0.1:6379"),
            ("port", "udp://10.0.0.1:6379"),
            ("port_6379_tcp", "tcp://10.0.0.1:6379"),
            ("port_6379_tcp_proto", "tcp"),
            ("port_6379_tcp_port", "6379"),
            ("port_6379_tcp_addr", "10.0.0.1"),
            ("port_53_udp_addr", "10.0.0.1"),
            ("redis_service_host", "10.0.0.1"),
            ("redis_master_service_port_tcp_redis", "6379"),
            ("redis_port", "tcp://10.0.0.1:6379"),
            ("tls_port", "tcp://10.0.0.1:6379"),
            ("redis_port_6379_tcp_addr", "10.0.0.1"),
        ] {
            assert!(is_service_link(name, value), "{name}={value}");
        }
        for (name, value) in [
            ("port", "6379"),
            ("port", "http://x"),
            ("port", ""),
            ("tls_port", "6379"),
            ("service", "x"),
            ("service_hosts", "x"),
            ("port_x_tcp", "x"),
            ("port_6379_tcp_name", "x"),
            ("port_6379", "x"),
            ("maxclients", "tcp://x"),
        ] {
            assert!(!is_service_link(name, value), "{name}={value}");
        }
    }
}
