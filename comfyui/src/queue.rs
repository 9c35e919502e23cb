use comfyport_workflow::json::Value;

use crate::{Client, ClientError};

/// Which prompts run and wait, all clients' together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueSnapshot {
    /// Ids of running prompts: one at most, in practice.
    pub running: Vec<String>,
    /// Ids of waiting prompts, in the order they will run.
    pub pending: Vec<String>,
}

impl QueueSnapshot {
    /// Whether the prompt runs or waits.
    pub fn contains(&self, id: &str) -> bool {
        self.running.iter().chain(&self.pending).any(|other| other == id)
    }

    /// Prompts ahead of a waiting one.
    pub fn position(&self, id: &str) -> Option<usize> {
        self.pending.iter().position(|other| other == id).map(|index| index + self.running.len())
    }

    fn read(value: &Value) -> Result<Self, ClientError> {
        let items = |key| value.get(key).and_then(Value::as_array);
        let (Some(running), Some(pending)) = (items("queue_running"), items("queue_pending")) else {
            return Err(ClientError::Shape("queue"));
        };
        // The wire order is a heap's; ComfyUI runs the smallest (number, prompt_id) first.
        let mut pending: Vec<(f64, String)> = pending.iter().filter_map(item).collect();
        pending.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
        Ok(Self {
            running: running.iter().filter_map(item).map(|(_, id)| id).collect(),
            pending: pending.into_iter().map(|(_, id)| id).collect(),
        })
    }
}

fn item(value: &Value) -> Option<(f64, String)> {
    let parts = value.as_array()?;
    Some((parts.first()?.as_f64().unwrap_or(f64::MAX), parts.get(1)?.as_str()?.to_owned()))
}

impl Client {
    /// What runs and waits.
    pub async fn queue(&self) -> Result<QueueSnapshot, ClientError> {
        QueueSnapshot::read(&self.http().get("queue").await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heap_order_is_sorted() {
        let text = br#"{"queue_running":[[0,"r",{},{},[]]],"queue_pending":[[3,"c"],[5,"e"],[-1,"a"],[3,"b"],["odd"]]}"#;
        let queue = QueueSnapshot::read(&comfyport_workflow::json::parse(text).unwrap().value).unwrap();
        assert_eq!(queue.pending, ["a", "b", "c", "e"]);
        assert_eq!(queue.position("b"), Some(2));
        assert!(queue.contains("r") && !queue.contains("x"));
        assert!(QueueSnapshot::read(&Value::Null).is_err());
    }
}
