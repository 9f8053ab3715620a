"""What we tell about ourselves: logs without secrets, and measures named after the promises."""

from receiver.telemetry.logs import MASK, configure_logs, redaction
from receiver.telemetry.metrics import PrometheusMetrics
from receiver.telemetry.witness import Witness

__all__ = ["MASK", "PrometheusMetrics", "Witness", "configure_logs", "redaction"]
