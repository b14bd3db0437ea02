//! How values are kept, scripts, and events: thresholds that Redis's clients and tests set.

use crate::settings::Setting;
use crate::settings::kind::{Kind, Unit};
use crate::settings::setting::{count, flag, long, memory, number};
use crate::settings::special::Special;
