//! The decoder against whole, cut and broken input. Verdicts were taken from Valkey 9.1.2.

use super::*;
use crate::resp::encode;

type Request = Vec<Vec<u8>>;

/// Feeds `pieces` as reads; the requests and the error that ended the stream.
fn feed<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    limits: &Limits,
) -> (Vec<Request>, Option<ProtocolError>) {
    let (mut decoder, mut buffer, mut found) = (Decoder::default(), Vec::new(), Vec::new());
    let mut frames = Frames::default();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            frames.clear();
            let decoded = match decoder.decode(&buffer, limits, &mut frames) {
                Ok(decoded) => decoded,
                Err(error) => {
                    assert!(frames.is_empty());
                    assert_eq!(decoder.decode(&buffer, limits, &mut frames), Err(error));
                    return (found, Some(error));
                }
            };
            assert!(decoded.consumed <= buffer.len());
            assert!(frames.len() <= limits.batch_commands);
            found.extend(
                frames
                    .frames
                    .iter()
                    .map(|frame| request(&frames, frame, &buffer, decoded.consumed)),
            );
            buffer.drain(..decoded.consumed);
            if !decoded.full {
                break;
            }
        }
    }
    (found, None)
}

/// Copies one request out and checks that every position is inside what was consumed.
fn request(frames: &Frames, frame: &Frame, buffer: &[u8], consumed: usize) -> Request {
    let source = if frame.multibulk { &buffer[..consumed] } else { &frames.side[..] };
    assert_eq!(frames.bytes_of(frame, &buffer[..consumed]), source);
    let args: Vec<Vec<u8>> =
        frames.args_of(frame).iter().map(|span| span.of(source).to_vec()).collect();
    assert!(!args.is_empty());
    assert_eq!(frames.arg(frame, 0, buffer), Some(&args[0][..]));
    assert_eq!(frames.arg(frame, args.len(), buffer), None);
    let mut canonical = Vec::new();
    encode::command(&mut canonical, &args.iter().map(Vec::as_slice).collect::<Vec<_>>());
    assert_eq!(frame.raw.of(source), canonical);
    args
}

fn words(input: &[u8]) -> Result<Vec<Vec<String>>, ProtocolError> {
    let (requests, error) = feed([input], &Limits::default());
    let text = |args: Request| args.iter().map(|arg| arg.escape_ascii().to_string()).collect();
    error.map_or(Ok(requests.into_iter().map(text).collect()), Err)
}

#[test]
fn requests_in_both_forms_come_out_in_order() {
    let input =
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$12\r\n0123456789ab\r\nGET \"a b\"\r\n*1\r\n$0\r\n\r\n";
    assert_eq!(
        words(input).unwrap(),
        [vec!["SET", "k", "0123456789ab"], vec!["GET", "a b"], vec![""]]
    );
}

#[test]
fn empty_requests_are_skipped() {
    for empty in ["*0\r\n", "*-1\r\n", "*-5\r\n", "\r\n", "\n", "   \r\n"] {
        let input = format!("{empty}PING\r\n{empty}*1\r\n$4\r\nPING\r\n{empty}");
        assert_eq!(words(input.as_bytes()).unwrap(), [["PING"], ["PING"]], "{empty:?}");
    }
}

#[test]
fn broken_streams_are_refused() {
    use ProtocolError::*;
    let cases: &[(&[u8], ProtocolError)] = &[
        (b"*2147483648\r\n", InvalidMultibulkLength),
        (b"*99999999999999999999999\r\n", InvalidMultibulkLength),
        (b"*abc\r\n", InvalidMultibulkLength),
        (b"*+1\r\n", InvalidMultibulkLength),
        (b"*01\r\n", InvalidMultibulkLength),
        (b"*\r\n", InvalidMultibulkLength),
        (b"*-0\r\n", InvalidMultibulkLength),
        (b"*1\n$4\r\nPING\r\n", InvalidMultibulkLength),
        (b"*1\r$4\r\nPING\r\n", InvalidLineEnd),
        (b"*0\rX", InvalidLineEnd),
        (b"*abc\rX", InvalidLineEnd),
        (b"*1\r\n$4\rX", InvalidLineEnd),
        (b"*1\r\n$4\r\nPINGX\n", InvalidLineEnd),
        (b"*1\r\n$4\r\nPING\rX", InvalidLineEnd),
        (b"*1\r\n:4\r\n", ExpectedBulk(b':')),
        (b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n", ExpectedBulk(b'f')),
        (b"*1\r\n$-1\r\n", InvalidBulkLength),
        (b"*1\r\n$536870913\r\n", InvalidBulkLength),
        (b"*1\r\n$abc\r\n", InvalidBulkLength),
        (b"*1\r\n$\r\n", InvalidBulkLength),
        (b"*1\r\n$04\r\n", InvalidBulkLength),
        (b"*1\r\n$00\r\n", InvalidBulkLength),
        (b"*1\r\n$000004\r\nPING\r\n", InvalidBulkLength),
        (b"PING \"a\r\n", UnbalancedQuotes),
    ];
    for (input, error) in cases {
        assert_eq!(words(input), Err(*error), "{}", input.escape_ascii());
    }
    assert_eq!(ExpectedBulk(b'4').to_string(), "Protocol error: expected '$', got '4'");
}

#[test]
fn lines_without_an_end_are_refused_at_64_kib() {
    for (start, error) in [
        ("a", ProtocolError::InlineTooBig),
        ("\0\n", ProtocolError::InlineTooBig),
        ("*", ProtocolError::MultibulkLine),
        ("*1\r\n$", ProtocolError::BulkLine),
    ] {
        let line_start = start.rfind('$').unwrap_or(0);
        let mut input = start.as_bytes().to_vec();
        input.resize(line_start + LINE_BYTES_MAX, b'1');
        assert_eq!(words(&input), Ok(vec![]), "{start:?}");
        input.push(b'1');
        assert_eq!(words(&input), Err(error), "{start:?}");
        input.push(b'\n');
        assert_eq!(words(&input), Err(error), "{start:?}");
    }
}

#[test]
fn little_is_accepted_before_login() {
    let limits = Limits::default().before_login();
    let verdict = |input: &[u8]| feed([input], &limits).1;
    assert_eq!(verdict(b"*10\r\n$16384\r\n"), None);
    assert_eq!(verdict(b"*11\r\n"), Some(ProtocolError::UnauthenticatedMultibulk));
    assert_eq!(verdict(b"*4294967296\r\n"), Some(ProtocolError::InvalidMultibulkLength));
    assert_eq!(verdict(b"*1\r\n$16385\r\n"), Some(ProtocolError::UnauthenticatedBulk));
}

#[test]
fn complete_requests_come_before_the_error_behind_them() {
    let mut decoder = Decoder::default();
    let mut frames = Frames::default();
    let input = b"PING\r\n*2\r\n$1\r\na\r\n!";
    let decoded = decoder.decode(input, &Limits::default(), &mut frames);
    assert_eq!(decoded, Ok(Decoded { consumed: 6, full: true }));
    assert_eq!((frames.len(), frames.args.len()), (1, 1));
    let after = decoder.decode(&input[6..], &Limits::default(), &mut frames);
    assert_eq!(after, Err(ProtocolError::ExpectedBulk(b'!')));
}

#[test]
fn batches_end_at_their_limits() {
    let limits = Limits { batch_commands: 10, batch_bytes: 100, ..Limits::default() };
    let mut frames = Frames::default();
    let input = b"*1\r\n$4\r\nPING\r\n".repeat(20);
    let decoded = Decoder::default().decode(&input, &limits, &mut frames);
    assert_eq!(decoded, Ok(Decoded { consumed: 8 * 14, full: true }));
    frames.clear();
    let decoded = Decoder::default().decode(&b"a\n".repeat(20), &limits, &mut frames);
    assert_eq!(decoded, Ok(Decoded { consumed: 20, full: true }));
}

#[test]
fn a_big_argument_says_how_much_it_lacks() {
    let mut decoder = Decoder::default();
    let mut frames = Frames::default();
    let mut buffer = b"*2\r\n$3\r\nGET\r\n$1000000\r\n".to_vec();
    decoder.decode(&buffer, &Limits::default(), &mut frames).unwrap();
    assert_eq!(decoder.wanted(), RESERVE_ON_TRUST);
    buffer.resize(buffer.len() + 900_000, b'x');
    decoder.decode(&buffer, &Limits::default(), &mut frames).unwrap();
    assert_eq!(decoder.wanted(), 100_002);
    buffer.resize(buffer.len() + 100_000, b'x');
    buffer.extend_from_slice(b"\r\n");
    assert_eq!(
        decoder.decode(&buffer, &Limits::default(), &mut frames).unwrap().consumed,
        buffer.len()
    );
    assert_eq!(decoder.wanted(), 0);
}

/// A stream of mostly sound requests with every oddity the decoder knows.
fn stream(random: &mut fastrand::Rng) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..random.usize(1..6) {
        let args: Vec<Vec<u8>> = (0..random.usize(1..5))
            .map(|_| (0..random.usize(0..14)).map(|_| random.u8(..)).collect())
            .collect();
        match random.u8(0..8) {
            0 => out.extend_from_slice(b"PING \"a\\x00b\" 'c'\r\n"),
            1 => out.extend_from_slice(b"*0\r\n"),
            2 => out.extend_from_slice(b"\r\n"),
            3 => out.extend_from_slice(b"*1\r\n$000\r\n"),
            _ => encode::command(&mut out, &args.iter().map(Vec::as_slice).collect::<Vec<_>>()),
        }
    }
    if random.u8(0..4) == 0 {
        let place = random.usize(..out.len());
        out[place] = random.choice(*b"\0\r\n*$-019\"x").unwrap();
    }
    out
}

#[test]
fn where_the_input_is_cut_does_not_matter() {
    let mut random = fastrand::Rng::with_seed(1);
    let limits = Limits { batch_commands: 3, ..Limits::default() };
    for round in 0..3_000 {
        let input = stream(&mut random);
        let whole = feed([&input[..]], &limits);
        for cut in 0..=input.len() {
            let (left, right) = input.split_at(cut);
            assert_eq!(feed([left, right], &limits), whole, "round {round}, cut at {cut}");
        }
        assert_eq!(feed(input.chunks(1), &limits), whole, "round {round}, byte by byte");
    }
}

#[test]
fn garbage_never_panics() {
    let mut random = fastrand::Rng::with_seed(2);
    for _ in 0..100_000 {
        let input: Vec<u8> = (0..random.usize(0..60))
            .map(|_| random.choice(*b"*$\r\n\r\n0123-9 \"'\\x\0a").unwrap())
            .collect();
        let whole = feed([&input[..]], &Limits::default());
        assert_eq!(feed(input.chunks(1), &Limits::default()), whole, "{}", input.escape_ascii());
    }
}

#[test]
fn many_arguments_in_tiny_reads_cost_linear_work() {
    let args = 300_000;
    let mut input = format!("*{args}\r\n").into_bytes();
    input.extend_from_slice(&b"$1\r\nx\r\n".repeat(args));
    let mut decoder = Decoder::default();
    let mut frames = Frames::default();
    // One growing buffer seen in steps: a decoder that began again each time would need minutes.
    for end in (0..input.len()).step_by(7).chain([input.len()]) {
        let decoded = decoder.decode(&input[..end], &Limits::default(), &mut frames).unwrap();
        assert_eq!(decoded.consumed, if end == input.len() { end } else { 0 });
    }
    assert_eq!(frames.frames[0].argc as usize, args);
}

/// Prints the cost of a pipeline; run with `--release --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn measure_a_pipeline_of_16() {
    let mut input = Vec::new();
    for n in 0..8 {
        encode::command(
            &mut input,
            &[b"SET", format!("key:00000000000{n}").as_bytes(), b"0123456789abcdef"],
        );
        encode::command(&mut input, &[b"GET", format!("key:00000000000{n}").as_bytes()]);
    }
    let (limits, mut decoder, mut frames) =
        (Limits::default(), Decoder::default(), Frames::default());
    let rounds = 500_000;
    let started = std::time::Instant::now();
    for _ in 0..rounds {
        frames.clear();
        decoder.decode(std::hint::black_box(&input), &limits, &mut frames).unwrap();
        std::hint::black_box(&frames);
    }
    let nanos = started.elapsed().as_nanos() as f64 / f64::from(rounds * 16);
    eprintln!("{nanos:.1} ns a request, {} bytes a pipeline", input.len());
}

#[test]
fn no_setting_lets_an_argument_pass_what_a_blob_holds() {
    let limits = Limits::default().with_bulk_bytes(i64::MAX as u64);
    assert!(2 * limits.bulk_bytes + 64 <= u64::from(u32::MAX));
    for (head, error) in [
        ("*2\r\n$3\r\nGET\r\n$2147483584\r\n", None),
        ("*2\r\n$3\r\nGET\r\n$2147483585\r\n", Some(ProtocolError::InvalidBulkLength)),
    ] {
        assert_eq!(feed([head.as_bytes()], &limits).1, error, "{head}");
    }
}
