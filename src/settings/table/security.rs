//! Passwords, users and what is locked.

use crate::settings::Setting;
use crate::settings::kind::{Kind, Unit};
use crate::settings::setting::{choice, long, text};
use crate::settings::special::Special;

const PERMISSIONS: &[&str] = &["no", "yes", "local"];
const NO_ACL: &str = "there are no access lists yet";

pub(super) const SETTINGS: &[Setting] = &[
    choice("acl-pubsub-default", "resetchannels", &["allchannels", "resetchannels"])
        .runtime()
        .accepted(NO_ACL)
        .doc("Channels that a new user may use."),
    text("aclfile", "")
        .doc("File of the users, of whom there is one: a line 'user default' with every right."),
    long("acllog-max-len", "128", Unit::None)
        .runtime()
        .accepted(NO_ACL)
        .doc("Entries kept in the log of refused commands."),
    choice("enable-debug-command", "no", PERMISSIONS)
        .doc("Who may use DEBUG: nobody, everybody, or clients of this machine."),
    choice("enable-module-command", "no", PERMISSIONS)
        .accepted("Troupe loads no modules")
        .doc("Who may use MODULE."),
    choice("enable-protected-configs", "no", PERMISSIONS)
        .doc("Who may change dir and dbfilename at run time."),
    Setting::of(Kind::Special(Special::Lines { min: 2, max: 2 }), "rename-command", "")
        .file_only()
        .doc("Gives a command another name, or none: the old name, then the new one."),
    text("requirepass", "").runtime().secret().doc("Password of the default user; empty for none."),
    choice("sanitize-dump-payload", "no", &["no", "yes", "clients"])
        .runtime()
        .accepted("every payload is checked")
        .doc("Checks payloads of RESTORE in full."),
    long("tracking-table-max-keys", "1000000", Unit::None)
        .runtime()
        .doc("Keys of which is remembered which clients have cached them; 0 for any number."),
    Setting::of(Kind::Special(Special::Users), "user", "")
        .file_only()
        .secret()
        .doc("The default user as an access list names it, with every right; empty for none."),
];
