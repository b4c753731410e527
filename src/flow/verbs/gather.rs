//! `<Gather>`: asks for keys. Vobiz' name for `<GetInput>`.

super::get_input::input! {
    /// Plays its children and takes the keys that the caller presses. A key ends the prompts.
    ///
    /// After an input, `action` is requested with the fields `InputType`, `Digits`, `Speech` and
    /// `SpeechConfidenceScore`. Without input, the flow continues at the next element.
    ///
    /// ```xml
    /// <Gather action="flow:menu" inputType="dtmf" numDigits="1">
    ///   <Speak>Press 1 for the weekly meeting.</Speak>
    /// </Gather>
    /// ```
    GatherVerb, "Gather", Vendors::Vobiz("<GetInput>")
}
