//! Names of parts, contenders and measures: sessions write them into results, plots and tables look for them there.

/// Keeping beside saving and loading.
pub const SERIAL: &str = "serial";
/// Beside embedded stores.
pub const STORES: &str = "stores";
/// Beside libpmemobj.
pub const FENCES: &str = "fences";

/// Files on the disk.
pub const DISK: &str = "disk";
/// Files in memory, which pobj takes for persistent memory.
pub const MEMORY: &str = "memory";

/// pobj as it comes.
pub const POBJ: &str = "pobj, open";
/// pobj without validation.
pub const POBJ_TRUSTED: &str = "pobj, open_trusted";
/// Those who load and save everything.
pub const SAVERS: [&str; 4] = ["serde_json", "postcard", "rkyv", "plain records"];
/// rkyv's archive in a mapping, validated at the start.
pub const RKYV_CHECKED: &str = "rkyv in place, checked";
/// The same, believed.
pub const RKYV_UNCHECKED: &str = "rkyv in place, unchecked";
/// Records in a mapping.
pub const RECORDS_IN_PLACE: &str = "plain records in place";

/// One field, durably.
pub const CHANGE_ONE: &str = "change one field";
/// A thousand, durably.
pub const CHANGE_MANY: &str = "change 1,000 fields";
/// From opening to one value.
pub const START: &str = "start to first read";
/// And everything added up.
pub const START_SCAN: &str = "start and full scan";
/// Everything added up, again.
pub const FULL_SCAN: &str = "full scan";
/// `VmHWM` after the first read.
pub const PEAK_START: &str = "most memory, first read";
/// `VmHWM` at the end.
pub const PEAK: &str = "most memory, whole session";
/// `RssAnon` at the end.
pub const OWN: &str = "own memory, whole session";
/// Blocks of the closed file.
pub const ON_MEDIUM: &str = "on the medium";

/// From opening to one value.
pub const OPEN: &str = "open to first get";
/// The same without validation.
pub const OPEN_TRUSTED: &str = "open to first get, without validation";
/// One value.
pub const GET: &str = "get";
/// Every record.
pub const SCAN: &str = "scan";
/// A put in a transaction of its own.
pub const PUT_ONE: &str = "put, 1 per transaction";
/// A put of a thousand.
pub const PUT_MANY: &str = "put, 1,000 per transaction";
/// Until nothing is left to do.
pub const SETTLE: &str = "settle";
/// `VmHWM` at the end.
pub const STORE_PEAK: &str = "most memory";

/// What counts fences begins with this; the job follows.
pub const FENCES_OF: &str = "fences, ";
/// What takes time begins with this; the job follows.
pub const TIME_OF: &str = "time, ";
/// The two whose fences are counted.
pub const FENCERS: [&str; 2] = ["pobj", "libpmemobj"];
