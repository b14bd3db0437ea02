//! What a thread does for its shard and its connections.

use super::*;
use crate::plan::Plan;
use crate::workload::Call;

/// How many waits begin again, of the mail that is under way.
fn waits_again(context: &mut Context) -> usize {
    let mut count = 0;
    while let Some(at_us) = context.post.next_us() {
        let edge = context.post.arrived(at_us).next().expect("it has arrived by then");
        let mail = context.post.take(edge).expect("it has mail").mail;
        count += usize::from(matches!(mail, Mail::Letter(Letter::WaitAgain(_))));
    }
    count
}

#[test]
fn whose_batch_is_home_waits_again_though_its_connection_has_not_gone_on() {
    let mut context = Context::new(&Plan::of(0), false);
    let mut thread = Thread::new(0, Arc::new(Map::new(1)), &context);
    thread.shard().serve();
    thread.accept(1, &mut context);
    let call = Call::of("BLPOP l0 0");
    let mut socket = Socket { room: 100, ..Socket::default() };
    socket.up.extend(call.encoded());
    context.history.borrow_mut().sent(1, &[call]);
    thread.pump(0, &mut Sockets::from([(1, socket)]), &mut context);
    thread.turn(&mut context);
    assert_eq!(waits_again(&mut context), 0, "nothing was rebuilt");
    thread.receive(Mail::Letter(Letter::Rebuilt(0)), &mut context);
    thread.turn(&mut context);
    assert_eq!(waits_again(&mut context), 1);
}
