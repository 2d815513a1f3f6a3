"""The shapes of parsed JSON."""

from typing import Any

# Deliberately Any inside: JSON is walked where its shape is known, and a recursive alias would only be cast away there.
JsonValue = Any
JsonObject = dict[str, Any]
