//! Finding the end of a log that was not closed.
//!
//! From the header's tail on, appends are taken while each is whole: the first that is not was in flight, or never was.
//! Unless a later frame of the same generation proves otherwise, one that is whole and says that the missing one was
//! durable when it was made. Then the medium has lost bytes, and ending the log here would drop acknowledged
//! entries in silence; that is reported as damage (as J3 has it for the journal).
//!
//! What lies behind the end may be whole frames of appends that came later than the one that was lost. They would
//! count again once new frames reached up to them, so they are erased, durably, before anything is appended. A crash
//! in between leaves the same end to be found.

use super::frame::{HEAD_LEN, Head, Salt, framed_len};
use super::header::{AREA, End, Header};
use super::scan::{Source, Window};
use crate::ground::error::{Error, Result};
use crate::media::Media;

/// The search for a proof of damage hashes at most so many times the bytes that it looks through.
const PROOF_WORK: u64 = 4;
/// What a look at one more place counts, besides the bytes.
const PROOF_STEP: u64 = 1024;
/// Bytes that are looked at, and erased, at once.
const STRETCH: u64 = 64 << 10;

/// The end of the append that begins at `from`, if a whole one lies there before the limit.
pub(super) fn whole_append(
    source: &impl Source,
    window: &mut Window,
    header: &Header,
    from: End,
) -> Result<Option<End>> {
    let salt = Salt::new(header.log_id, header.generation);
    let mut at = from;
    while let Some(frame) = window.frame(source, salt, at.offset, header.limit)? {
        at = End {
            offset: at.offset + framed_len(frame.head.len(), header.align),
            entries: at.entries + 1,
            bytes: at.bytes + frame.head.len(),
        };
        if !frame.head.continues() {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// Finds the end of the log and makes sure that nothing behind it can count. Not durable before a sync.
pub(super) fn recover(media: &dyn Media, header: &Header) -> Result<End> {
    let mut window = Window::default();
    let mut end = header.tail;
    if header.limit == end.offset {
        refuse_lost_header(media, &mut window, header, end.offset)?;
        return Ok(end);
    }
    while let Some(next) = whole_append(&media, &mut window, header, end)? {
        end = next;
    }
    refuse_lost_header(media, &mut window, header, end.offset)?;
    refuse_lost_entries(media, &mut window, header, end.offset)?;
    erase(media, end.offset, header.limit)?;
    Ok(end)
}

/// A frame that ends beyond the limit was made under a later header, which was durable before.
fn refuse_lost_header(media: &dyn Media, window: &mut Window, header: &Header, end: u64) -> Result<()> {
    let salt = Salt::new(header.log_id, header.generation);
    let frame = window.frame(&media, salt, end, header.capacity)?;
    match frame.filter(|frame| end + framed_len(frame.head.len(), header.align) > header.limit) {
        None => Ok(()),
        Some(_) => {
            let what = "the newest header is unreadable: there are entries that the other one knows not of";
            Err(Error::corrupt(what, 0))
        }
    }
}

/// Looks behind `end` for a whole frame that says that the one at `end` was durable.
fn refuse_lost_entries(media: &dyn Media, window: &mut Window, header: &Header, end: u64) -> Result<()> {
    let salt = Salt::new(header.log_id, header.generation);
    let mut budget = (header.limit - end) * PROOF_WORK;
    let mut at = end + header.align;
    while at + HEAD_LEN <= header.limit && budget > 0 {
        let place = window.place(&media, at, HEAD_LEN, header.limit)?;
        let room = header.limit - at - HEAD_LEN;
        let claims =
            |head: &Head| head.len() <= room && head.horizon(at).is_some_and(|horizon| horizon > end);
        if let Some(head) = Head::decode(window.bytes(place)).filter(claims) {
            if window.frame(&media, salt, at, header.limit)?.is_some() {
                let what =
                    format!("what was durable here is unreadable, and an entry at {:#x} follows", AREA + at);
                return Err(Error::corrupt(what, AREA + end));
            }
            budget = budget.saturating_sub(head.len() + PROOF_STEP);
        }
        at += header.align;
    }
    Ok(())
}

/// Writes zeros over what is not zero.
fn erase(media: &dyn Media, from: u64, to: u64) -> Result<()> {
    let mut bytes = vec![0; STRETCH.min(to - from) as usize];
    let mut at = from;
    while at < to {
        let bytes = &mut bytes[..STRETCH.min(to - at) as usize];
        media.read_checked(AREA + at, bytes)?;
        if bytes.iter().any(|byte| *byte != 0) {
            bytes.fill(0);
            media.write(AREA + at, bytes)?;
        }
        at += bytes.len() as u64;
    }
    Ok(())
}
