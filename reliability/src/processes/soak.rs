//! Placeholder
use super::child::Voice;
use super::{Figures, Outcome, Plan};
use serde::{Deserialize, Serialize};
/// x
#[derive(Debug, Serialize, Deserialize)]
pub struct Part {}
impl Part {
    pub(super) async fn play(self, _: Voice) -> Outcome<()> {
        Ok(())
    }
}
/// x
/// # Errors
/// x
pub fn run(_: &Plan) -> Outcome {
    Ok(Figures::default())
}
