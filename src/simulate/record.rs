//! Record events of an events file: reads them.

use std::{sync::Arc, time::Duration};

use super::{
    Script, ScriptAction,
    fields::{AT_MAX, ScriptFields},
    recorded::{ScriptRecorded, ScriptRecording, ScriptRecordingCommand},
};

impl Script {
    /// Reads `record = "start"` and the like.
    pub(super) fn record(&mut self, fields: &mut ScriptFields) -> Result<ScriptAction, String> {
        let command = fields.needed("record")?;
        let length = fields.time("time_limit", AT_MAX)?.map(Duration::from_millis);
        let callback = fields.text("callback_url")?.map(Arc::from);
        let is_start = command == "start";
        if !is_start && (length.is_some() || callback.is_some()) {
            return Err(format!("record: {command:?} has no time_limit and no callback_url"));
        }
        let command = match &*command {
            "start" => ScriptRecordingCommand::Start { length, callback },
            "stop" => ScriptRecordingCommand::Stop,
            "pause" => ScriptRecordingCommand::Pause(true),
            "resume" => ScriptRecordingCommand::Pause(false),
            _ => {
                return Err("record: write \"start\", \"stop\", \"pause\" or \"resume\"".to_owned());
            }
        };
        let recorded = match (fields.text("caller")?, fields.room("room")?) {
            (Some(name), None) => ScriptRecorded::Caller(self.find("caller", &name)?),
            (None, Some(room)) => ScriptRecorded::Room(room),
            _ => return Err("record: say whose: caller = \"NAME\" or room = \"ROOM\"".to_owned()),
        };
        Ok(ScriptAction::Record(Box::new(ScriptRecording { recorded, command })))
    }
}
