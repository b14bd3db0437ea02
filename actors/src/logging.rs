//! The log: `tracing` events as lines of Redis's form, as logfmt or as JSON.
//!
//! Redis's line is `PID:ROLE DD Mon YYYY HH:MM:SS.mmm LEVEL message`, which many parsers know. ROLE
//! is `M`: there is no other yet. LEVEL is one of `.` debug, `-` verbose, `*` notice, `#` warning.
//! The levels of `tracing` stand for them in that order: trace, debug, info, and the two highest.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use jiff::Zoned;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};
use troupe::settings::{LogFormat, LogLevel};

/// Where the log goes: a file, or standard output.
#[derive(Clone, Debug)]
enum Target {
    Output,
    File(Arc<File>),
}

static LEVEL: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();

/// Begins the log. `path` is empty for standard output.
///
/// # Errors
/// When the file cannot be opened.
pub fn begin(path: &str, level: LevelFilter, form: LogFormat) -> io::Result<()> {
    let target = if path.is_empty() {
        Target::Output
    } else {
        Target::File(Arc::new(OpenOptions::new().create(true).append(true).open(Path::new(path))?))
    };
    let (filter, handle) = reload::Layer::new(level);
    let lines = tracing_subscriber::fmt::layer().with_writer(target).with_ansi(false);
    let lines = match form {
        LogFormat::Json => lines.json().boxed(),
        LogFormat::Text => lines.event_format(RedisLine).boxed(),
        LogFormat::Logfmt => lines.event_format(Logfmt).boxed(),
    };
    // A second call, as tests may make, changes nothing.
    let _ = LEVEL.set(handle);
    let _ = Registry::default().with(filter).with(lines).try_init();
    Ok(())
}

/// Changes the level of the log.
pub fn set_level(level: LevelFilter) {
    if let Some(handle) = LEVEL.get() {
        // The subscriber lives as long as the process.
        let _ = handle.reload(level);
    }
}

/// The filter of a `loglevel`.
pub fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Debug => LevelFilter::TRACE,
        LogLevel::Verbose => LevelFilter::DEBUG,
        LogLevel::Notice => LevelFilter::INFO,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Nothing => LevelFilter::OFF,
    }
}

impl<'a> MakeWriter<'a> for Target {
    type Writer = Box<dyn io::Write + 'a>;

    fn make_writer(&'a self) -> Self::Writer {
        match self {
            Target::Output => Box::new(io::stdout().lock()),
            Target::File(file) => Box::new(&**file),
        }
    }
}

struct RedisLine;

impl<S, N> FormatEvent<S, N> for RedisLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let now = Zoned::now();
        let mark = match *event.metadata().level() {
            Level::TRACE => '.',
            Level::DEBUG => '-',
            Level::INFO => '*',
            Level::WARN | Level::ERROR => '#',
        };
        let pid = std::process::id();
        write!(line, "{pid}:M {} {mark} ", now.strftime("%d %b %Y %H:%M:%S.%3f"))?;
        context.format_fields(line.by_ref(), event)?;
        writeln!(line)
    }
}

struct Logfmt;

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let now = Zoned::now();
        let level = match *event.metadata().level() {
            Level::TRACE => "debug",
            Level::DEBUG => "info",
            Level::INFO => "notice",
            Level::WARN | Level::ERROR => "warning",
        };
        let pid = std::process::id();
        let time = now.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z");
        write!(line, "pid={pid} role=master timestamp=\"{time}\" level={level}")?;
        let mut fields = Pairs { line: line.by_ref(), result: Ok(()) };
        event.record(&mut fields);
        fields.result?;
        writeln!(line)
    }
}

/// Writes fields as `key=value`, quoted where they have to be.
struct Pairs<'a> {
    line: Writer<'a>,
    result: fmt::Result,
}

impl tracing::field::Visit for Pairs<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        let text = text.trim_matches('"');
        let quoted = text.replace('\\', "\\\\").replace('"', "'").replace('\n', " ");
        let result = write!(self.line, " {}=\"{quoted}\"", field.name());
        self.result = self.result.and(result);
    }
}
