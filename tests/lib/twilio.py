"""Twilio's Messages resource as its documentation has it, on a server in this process."""
import base64
import json
import urllib.parse

from lib.receiver import Receiver, answer

SID, TOKEN = "AC0123456789abcdef0123456789abcdef", "a token of twilio's"
PATH = f"/2010-04-01/Accounts/{SID}/Messages.json"


def refusal(status, code, headers=None):
    body = {"code": code, "message": f"What is wrong in words ({code}).",
            "more_info": f"https://www.twilio.com/docs/errors/{code}", "status": status}
    return answer(status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(body).encode())


def created(handler):
    """What is asked for is checked as Twilio would."""
    wanted = "Basic " + base64.b64encode(f"{SID}:{TOKEN}".encode()).decode()
    if handler.headers.get("Authorization") != wanted:
        refusal(401, 20003)(handler)
    elif handler.headers.get("Content-Type") != "application/x-www-form-urlencoded":
        refusal(400, 21602)(handler)
    else:
        body = {"sid": "SM" + "0" * 32, "account_sid": SID, "status": "queued", "error_code": None, "num_segments": "1",
                "subresource_uris": {"media": f"{PATH[:-5]}/SM{'0' * 32}/Media.json"}}
        answer(201, {"Content-Type": "application/json"}, json.dumps(body).encode())(handler)


class Twilio(Receiver):
    """`with Twilio() as twilio`: notifier.sms.url is twilio.base."""

    def __init__(self):
        super().__init__()
        self.base = f"http://127.0.0.1:{self.port}"
        self.answer_with(created)

    def answer_with(self, *behaviours):
        """One for each request, the last for all further ones."""
        self.behave(PATH, *behaviours)

    def forms(self, to):
        """The fields of the requests for one receiver."""
        all_of_them = [dict(urllib.parse.parse_qsl(hook.body.decode("ascii"), strict_parsing=True)) for hook in self.of(PATH)]
        return [form for form in all_of_them if form["To"] == to]
