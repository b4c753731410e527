//! `<Gather>`: asks for keys or speech.

super::get_input::input! {
    /// Plays what is in it, and takes the keys that the caller presses. A key ends the prompts.
    ///
    /// With keys, `action` is asked, with the fields `InputType`, `Digits`, `Speech` and
    /// `SpeechConfidenceScore`; without one, the flow goes on at the next element.
    ///
    /// ```xml
    /// <Gather action="flow:menu" inputType="dtmf" numDigits="1">
    ///   <Speak>Press 1 for the weekly meeting.</Speak>
    /// </Gather>
    /// ```
    GatherVerb, "Gather", Vendors::Vobiz("<GetInput>")
}
