"""Test of documents that the XML builders of Plivo's and Vobiz' SDKs for Python make."""

from bench import Phone, flow


class Documents:
    """Flows from the builders of one SDK, checked with its REST client."""

    def __init__(self, xml, conferences):
        self.xml = xml
        self.conferences = conferences
        # Callers who press no key: what is checked, the phone, what it must hear.
        self.silent = []

    def sections(self):
        """The sections for Bench.run."""
        return [
            self.a_changed_document,
            self.conference_attributes,
            self.conference_start_and_end,
            self.get_digits,
            self.get_input,
            self.speak,
            self.the_others,
            self.silent_callers,
        ]

    def response(self):
        return self.xml.ResponseElement()

    def says(self, name, text):
        """Writes a flow that says one thing, and returns its name."""
        return flow(name, self.response().add_speak(text).to_string())

    def members(self, room):
        return list(self.conferences.get(room).members)

    def a_changed_document(self, bench):
        self.says("changing", "Before.")
        bench.check(
            "document: the next call runs it", Phone("changing").ended(), ["speech Before."]
        )
        self.says("changing", "After.")
        bench.check(
            "document: when it has changed, too", Phone("changing").ended(), ["speech After."]
        )

    def conference_attributes(self, bench):
        self.says("left", "You have left by the star.")
        document = self.response().add_conference(
            "attributes",
            muted=True,
            enter_sound="beep:1",
            exit_sound="beep:2",
            start_conference_on_enter=True,
            end_conference_on_exit=False,
            stay_alone=True,
            wait_sound="sound:hold",
            max_members=2,
            record=False,
            record_file_format="mp3",
            time_limit=600,
            hangup_on_star=True,
            action="flow:left",
            method="GET",
            callback_url="http://127.0.0.1:9/conference",
            callback_method="POST",
            digits_match="1,22",
            floor_event=True,
            redirect=True,
            relay_dtmf=True,
        )
        name = flow("attributes", document.to_string())
        first = Phone(name).until("wait sound:hold")
        # The wait sound may be ordered some milliseconds before the beep that is heard over it.
        first.has_heard("beep")
        found = "beep" in first.heard()[:2]
        bench.check("Conference: enterSound, then waitSound while alone", found, True)
        second = Phone(name).until("room attributes")
        first.until("room attributes")
        found = [member.muted for member in self.members("attributes")]
        bench.check("Conference: muted", found, [True, True])
        third = Phone(name)
        bench.check(
            "Conference: maxMembers, the third continues with the action",
            third.ended(),
            ["speech You have left by the star."],
        )
        second.press("*")
        found = second.until("speech You have left by the star.").ended()[-1]
        bench.check(
            "Conference: hangupOnStar and action", found, "speech You have left by the star."
        )
        first.until("wait sound:hold")
        bench.check("Conference: exitSound", "beep" in first.heard()[-3:], True)
        self.conferences.hangup("attributes")

    def conference_start_and_end(self, bench):
        guest = self.response().add_conference(
            "panel", start_conference_on_enter=False, wait_sound="sound:ring", relay_dtmf=True
        )
        guest.add_speak("The panel is over.").add_wait(length=60)
        host = self.response().add_conference("panel", end_conference_on_exit=True)
        host.add_speak("You have ended it.").add_wait(length=60)
        flow("guest", guest.to_string())
        flow("host", host.to_string())

        guests = [Phone("guest").until("wait sound:ring") for _ in range(2)]
        bench.check(
            "Conference: startConferenceOnEnter, guests wait", len(self.members("panel")), 2
        )
        host = Phone("host").until("room panel")
        for phone in guests:
            phone.until("room panel")
        guests[0].press("5")
        bench.check("Conference: relayDTMF", host.has_heard("sound dtmf:5"), True)
        [inside] = [it for it in self.members("panel") if it.call_uuid == host.uuid]
        self.conferences.member_kick("panel", inside.member_id)
        found = [phone.hears() for phone in [host, *guests]]
        expected = ["speech You have ended it.", *["speech The panel is over."] * 2]
        bench.check("Conference: endConferenceOnExit, all leave at once", found, expected)

    def get_digits(self, bench):
        self.says("digits", "Thank you for the digits.")
        document = self.response()
        digits = self.xml.GetDigitsElement(
            action="flow:digits",
            method="POST",
            timeout=1,
            digit_timeout=1,
            finish_on_key="#",
            num_digits=4,
            retries=2,
            redirect=True,
            play_beep=True,
            valid_digits="1234",
            invalid_digits_sound="sound:ring",
            log=False,
        )
        digits.add_speak("Your PIN?", voice="MAN", language="en-GB")
        digits.add_play("sound:hold", loop=1)
        document.add(digits)
        document.add_speak("No digits.")
        name = flow("get-digits", document.to_string())
        prompts = ["speech Your PIN?", "sound sound:hold", "beep"]

        silent = Phone(name)
        thanks = "speech Thank you for the digits."
        phone = Phone(name).until("speech Your PIN?")
        phone.press("12#")
        found = phone.ended()
        bench.check("GetDigits: a key ends the prompts", found[0], "speech Your PIN?")
        bench.check("GetDigits: the action's document follows", found[-1], thanks)
        phone = Phone(name).until("speech Your PIN?")
        phone.press("1234")
        bench.check("GetDigits: numDigits ends the input", phone.ended()[-1], thanks)
        phone = Phone(name).until("speech Your PIN?")
        phone.press("9")
        found = phone.ended()
        bench.check("GetDigits: invalidDigitsSound", "sound sound:ring" in found, True)
        expected = [*prompts, *prompts, "speech No digits."]
        self.silent.append(("GetDigits: retries, then the next element", silent, expected))

    def get_input(self, bench):
        self.says("input", "Thank you for the input.")
        document = self.response()
        menu = self.xml.GetInputElement(
            action="flow:input",
            method="POST",
            input_type="dtmf",
            execution_timeout=5,
            digit_end_timeout=2,
            speech_end_timeout=2,
            finish_on_key="*",
            num_digits=1,
            speech_model="default",
            hints="yes,no",
            language="en-US",
            interim_speech_results_callback="http://127.0.0.1:9/speech",
            interim_speech_results_callback_method="POST",
            log=True,
            redirect=True,
            profanity_filter=False,
        )
        menu.add_speak("Press any key.")
        menu.add_wait(length=1)
        menu.add_play("sound:hold")
        document.add(menu)
        document.add_speak("No input.")
        name = flow("get-input", document.to_string())

        silent = Phone(name)
        phone = Phone(name).until("speech Press any key.")
        phone.press("7")
        expected = ["speech Press any key.", "speech Thank you for the input."]
        bench.check("GetInput: one key, then the action", phone.ended(), expected)
        expected = ["speech Press any key.", "sound sound:hold", "speech No input."]
        self.silent.append(("GetInput: without a key the next element", silent, expected))

    def speak(self, bench):
        speech = self.xml.SpeakElement("Dear", voice="Polly.Amy", language="en-GB", loop=1)
        speech.add_break(strength="medium", time="200ms")
        speech.add_cont("Anna,")
        speech.add_emphasis("you", level="strong")
        speech.add_lang("bonjour", xmllang="fr-FR")
        speech.add_p("A paragraph.")
        speech.add_s("A sentence.")
        speech.add_phoneme("pecan", alphabet="ipa", ph="pɪˈkɑːn")
        speech.add_prosody("loud", volume="loud", rate="fast", pitch="high")
        speech.add_say_as("12", interpret_as="cardinal", format="dmy")
        speech.add_sub("WHO", alias="World Health Organization")
        speech.add_w("read", role="ivona:VBD")
        document = self.response().add(speech)
        document.add_speak("Grüße & Küsse <3", loop=2)
        flow("speak", document.to_string())

        found = Phone("speak").ended()
        words = [
            "Dear",
            "Anna,",
            "you",
            "bonjour",
            "A paragraph.",
            "A sentence.",
            "pecan",
            "loud",
            "read",
        ]
        bench.check(
            "Speak: SSML is read as its text", [it for it in words if it not in found[0]], []
        )
        expected = ["speech Grüße & Küsse <3"] * 2
        bench.check("Speak: loop, and characters that XML escapes", found[1:], expected)

    def the_others(self, bench):
        self.says("there", "You have been redirected.")
        document = self.response()
        before = self.xml.PreAnswerElement()
        before.add_speak("It rings.").add_play("sound:ring").add_wait(length=1)
        document.add(before)
        document.add_play("https://example.com/hello.mp3", loop=2)
        document.add_dtmf("1w2", async_=False)
        document.add_wait(length=1, silence=False, min_silence=200, beep=False)
        document.add_redirect("flow:there", method="GET")
        document.add_speak("Never heard.")
        name = flow("others", document.to_string())
        phone = Phone(name)
        bench.check(
            "PreAnswer: not answered yet",
            phone.until("speech It rings.").look()["state"],
            "ringing",
        )
        hello = "sound https://example.com/hello.mp3"
        found = [text for text in phone.ended() if "dtmf" not in text]
        expected = [
            "speech It rings.",
            "sound sound:ring",
            hello,
            hello,
            "speech You have been redirected.",
        ]
        bench.check("PreAnswer, Play, DTMF, Wait, Redirect: in their order", found, expected)

        document = self.response().add_hangup(reason="busy")
        document.add_speak("Never heard.")
        phone = Phone(flow("busy", document.to_string()))
        bench.check("Hangup: nothing is heard", phone.ended(), [])
        bench.check("Hangup: reason", phone.look()["hangup_cause_name"], "Busy Line")
        document = self.response().add_hangup(schedule=1)
        document.add_speak("You have one second. ", loop=0)
        phone = Phone(flow("schedule", document.to_string()))
        found = set(phone.ended())
        bench.check(
            "Hangup: schedule, the flow goes on until then", found, {"speech You have one second."}
        )

    def silent_callers(self, bench):
        for what, phone, expected in self.silent:
            bench.check(what, phone.ended(), expected)
