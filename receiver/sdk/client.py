"""All the calls of one receiver together."""

from receiver.sdk.audio import AudioCalls
from receiver.sdk.care import CareCalls
from receiver.sdk.endpoints import EndpointCalls
from receiver.sdk.tasks import TaskCalls
from receiver.sdk.timelines import TimelineCalls


class Client(TaskCalls, TimelineCalls, AudioCalls, CareCalls, EndpointCalls):
    """A connection to one receiver. The key travels over https, or over http within this machine; never elsewhere.

    The calls may run at the same time. Every error is a ClientError, except where a file cannot be read or written.
    """
