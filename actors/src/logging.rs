//! The log: `tracing` events as lines of Redis's form, as logfmt or as JSON.
//!
//! Redis's line is `PID:ROLE DD Mon YYYY HH:MM:SS.mmm LEVEL message`, which many parsers know. ROLE
//! is `M`: there is no other yet. LEVEL is one of `.` debug, `-` verbose, `*` notice, `#` warning.
//! The levels of `tracing` stand for them in that order: trace, debug, info, and the two highest.
//!
//! A line goes to the file that has the log's name when it is written: whoever rotates logs renames
//! or removes the file and needs to tell nobody. Redis opens the file for each line. Here a line
//! costs one `stat` beside its `write` (1.2 us each; to open and close takes 2.3 us), and a file
//! that cannot be opened again stays open. What goes wrong is said on standard error, once until a
//! line is written.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock};

use jiff::Zoned;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};
use troupe::settings::{LogFormat, LogLevel};

static LINES: Mutex<Lines> = Mutex::new(Lines { file: None, fails: false });

static LEVEL: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();

/// Begins the log. `path` is empty for standard output.
///
/// # Errors
/// When the file cannot be opened.
pub fn begin(path: &Path, level: LevelFilter, form: LogFormat) -> io::Result<()> {
    let is_named = !path.as_os_str().is_empty();
    lines().file = is_named.then(|| LogFile::open(path)).transpose()?;
    let (filter, handle) = reload::Layer::new(level);
    let lines = tracing_subscriber::fmt::layer().with_writer(|| ToLines).with_ansi(false);
    let lines = match form {
        LogFormat::Json => lines.json().boxed(),
        LogFormat::Text => lines.event_format(RedisLine).boxed(),
        LogFormat::Logfmt => lines.event_format(Logfmt).boxed(),
    };
    // A second call, as tests may make, changes no more than the file.
    let _ = LEVEL.set(handle);
    let _ = Registry::default().with(filter).with(lines).try_init();
    Ok(())
}

/// Opens the log's file anew where it was renamed or removed, without waiting for a line.
pub fn reopen() {
    lines().follow();
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

/// Where all lines go: the log's file, or standard output where there is none.
struct Lines {
    file: Option<LogFile>,
    /// The last try to write a line, or to find the file, has failed.
    fails: bool,
}

/// A file, and the name under which it was opened.
struct LogFile {
    path: PathBuf,
    file: File,
    identity: Identity,
}

/// Device and number of a file: the same for all its names, another for each other file.
type Identity = (u64, u64);

fn lines() -> MutexGuard<'static, Lines> {
    LINES.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Lines {
    fn write(&mut self, line: &[u8]) {
        let result = match &mut self.file {
            Some(file) => {
                let followed = file.follow();
                // Whatever has become of the name: the file that is open takes the line.
                file.file.write_all(line).and(followed)
            }
            None => io::stdout().write_all(line),
        };
        self.report(result);
    }

    fn follow(&mut self) {
        let followed = self.file.as_mut().map_or(Ok(()), LogFile::follow);
        self.report(followed);
    }

    fn report(&mut self, result: io::Result<()>) {
        let has_failed = std::mem::replace(&mut self.fails, result.is_err());
        if let Err(error) = result
            && !has_failed
        {
            let path = self.file.as_ref().map_or(Path::new("standard output"), |file| &file.path);
            // Where there is no standard error either, there is nobody to tell.
            let _ = writeln!(io::stderr(), "troupe: the log at {}: {error}", path.display());
        }
    }
}

/// Hands each line over whole. An error is told there: who logs cannot do anything about it.
struct ToLines;

impl io::Write for ToLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        lines().write(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl LogFile {
    fn open(path: &Path) -> io::Result<LogFile> {
        let file = File::options().create(true).append(true).open(path)?;
        let identity = identity(&file.metadata()?);
        Ok(LogFile { path: path.to_owned(), file, identity })
    }

    fn follow(&mut self) -> io::Result<()> {
        let is_there =
            fs::metadata(&self.path).is_ok_and(|there| identity(&there) == self.identity);
        if !is_there {
            *self = LogFile::open(&self.path)?;
        }
        Ok(())
    }
}

fn identity(metadata: &fs::Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
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
