"""What the document says of the door where providers call us; it stands in front of the router."""

from collections.abc import Mapping

from receiver.web import problems
from receiver.web.answers import Acknowledgement
from receiver.web.operations import Answer, Body, Operation, answers

PATH = "/callbacks/{provider}/{token}"

#: https://runware.ai/docs/platform/webhooks
_EXAMPLES: Mapping[str, object] = {
    "runware": {
        "data": [
            {
                "taskType": "audioInference",
                "taskUUID": "7c0ffee0-1234-4abc-8def-0123456789ab",
                "audioUUID": "1b2c3d4e-1111-4abc-8def-0123456789ab",
                "audioURL": "https://am.runware.ai/audio/os/1b2c3d4e.mp3",
                "seed": 41,
                "cost": 0.15,
            }
        ]
    }
}

OPERATIONS: Mapping[str, Operation] = {
    "POST": Operation(
        "receiveCallback",
        "callbacks",
        "A provider tells of a task",
        {200: answers("The body is on the disk.", Acknowledgement)},
        body=Body(
            "Whatever the provider says; it is kept as it came, and read afterwards.",
            None,
            ("application/json", "*/*"),
            required=False,
            examples=_EXAMPLES,
        ),
        problems=(
            problems.NOT_FOUND,
            problems.TOO_SLOW,
            problems.TOO_LARGE,
            problems.TOO_MANY_BODIES,
        ),
        meaning="The address is made for one task and given to its provider with the request; the token in it is "
        "the key. A body that is known already is a duplicate and answered alike. Every token that does not verify "
        "is the same 404.",
        opened_by="token",
    ),
    "GET": Operation(
        "checkCallback",
        "callbacks",
        "Whether this address takes callbacks",
        {204: Answer("It does; nothing was changed.")},
        problems=(problems.NOT_FOUND,),
        opened_by="token",
    ),
}
