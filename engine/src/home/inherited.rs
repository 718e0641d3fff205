//! The names of inherited segments. They are the manifest: nothing else says what a fork inherits.

use std::fmt;

use selvedge_codec::segment::SegmentNumber;
use selvedge_codec::{ByteOffset, Ordinal};

use super::LogFormat;

/// What the name of an inherited segment says: `<segment>-<next ordinal>-<end>-<checksum>.rlog`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct InheritedName {
    /// Its place among the segments of the log that inherits it.
    pub(crate) segment: SegmentNumber,
    /// The ordinal after its last record that is inherited.
    pub(crate) next_ordinal: Ordinal,
    /// Where the batch ends that holds this record.
    pub(crate) end: ByteOffset,
    /// The checksum of the frame that ends there: the thread that the segment was inherited from
    /// may go on with the file, and must not have gone on with another history than that.
    pub(crate) last_frame: u32,
}

impl InheritedName {
    /// Reads a file's name; `None` when it is another one.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let mut fields = name
            .strip_suffix(LogFormat::Native.extension())?
            .splitn(4, '-');
        let parsed = Self {
            segment: SegmentNumber::new(fields.next()?.parse().ok()?),
            next_ordinal: Ordinal::new(fields.next()?.parse().ok()?),
            end: ByteOffset::new(fields.next()?.parse().ok()?),
            last_frame: u32::from_str_radix(fields.next()?, 16).ok()?,
        };
        // One spelling only.
        (parsed.to_string() == name).then_some(parsed)
    }
}

impl fmt::Display for InheritedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            segment,
            next_ordinal,
            end,
            last_frame,
        } = self;
        let extension = LogFormat::Native.extension();
        write!(
            f,
            "{segment}-{next_ordinal}-{end}-{last_frame:08x}{extension}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_spelled_and_no_other_way() {
        let name = InheritedName {
            segment: SegmentNumber::new(1),
            next_ordinal: Ordinal::new(70),
            end: ByteOffset::new(4096),
            last_frame: 0xbeef,
        };
        assert_eq!(name.to_string(), "1-70-4096-0000beef.rlog");
        assert_eq!(InheritedName::parse("1-70-4096-0000beef.rlog"), Some(name));
        for other in [
            "1-70-4096-beef.rlog",
            "01-70-4096-0000beef.rlog",
            "1-70-4096-0000BEEF.rlog",
            "1-70-4096-0000beef.rlog.new",
            "1-70-4096.rlog",
            "+1-70-4096-0000beef.rlog",
            "1-70--4096-0000beef.rlog",
        ] {
            assert_eq!(InheritedName::parse(other), None, "{other}");
        }
    }
}
