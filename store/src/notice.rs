//! What servers tell each other.

use uuid::Uuid;

/// Something was committed that others may be waiting for. Notices are hints: they may be missed, and whoever waits
/// looks for himself now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Notice {
    /// There is work in the queue, or room for it.
    Queue,
    /// A job has a new event or another state.
    Job(Uuid),
    /// A running job is to be cancelled.
    Cancel(Uuid),
    /// There is a webhook to deliver.
    Webhook,
    /// Somebody gave running jobs up, or steered an engine.
    Fleet,
}

impl Notice {
    /// As a payload of at most 40 bytes.
    pub(crate) fn to_text(self) -> String {
        match self {
            Self::Queue => "queue".to_owned(),
            Self::Job(id) => format!("job {id}"),
            Self::Cancel(id) => format!("cancel {id}"),
            Self::Webhook => "webhook".to_owned(),
            Self::Fleet => "fleet".to_owned(),
        }
    }

    /// What somebody sent; nothing if it is not one of ours.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (word, id) = text.split_once(' ').unwrap_or((text, ""));
        match word {
            "queue" => Some(Self::Queue),
            "job" => id.parse().ok().map(Self::Job),
            "cancel" => id.parse().ok().map(Self::Cancel),
            "webhook" => Some(Self::Webhook),
            "fleet" => Some(Self::Fleet),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_survive_the_wire() {
        let id = Uuid::from_u128(7);
        for notice in [Notice::Queue, Notice::Job(id), Notice::Cancel(id), Notice::Webhook, Notice::Fleet] {
            assert_eq!(Notice::parse(&notice.to_text()), Some(notice));
        }
        assert_eq!(Notice::parse("job x"), None);
    }
}
