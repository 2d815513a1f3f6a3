"""The shapes of parsed JSON."""

from typing import Any

# Deliberately Any inside: JSON is walked where its shape is known; a recursive alias would be cast away there.
JsonValue = Any
JsonObject = dict[str, Any]
