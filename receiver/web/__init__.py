"""What others call: the callback door of the providers, the task interface of the user's application, health."""

from receiver.web.app import Application, create_app, presenter
from receiver.web.config import WebConfig

__all__ = ["Application", "WebConfig", "create_app", "presenter"]
