"""What somebody sends: nothing of it is ignored silently."""

from typing import Any, Final

from rest_framework import serializers

LONGEST_REASON: Final = 2_000


class StrictSerializer(serializers.Serializer[Any]):
    """What somebody asks for, with no other fields than these."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuses what would be ignored."""
        unknown = [name for name in self.initial_data if name not in self.fields]
        if unknown:
            sentence = f"There is no such field. There is: {', '.join(self.fields)}."
            raise serializers.ValidationError({name: [sentence] for name in unknown})
        return attrs


class ReasonSerializer(StrictSerializer):
    """Why somebody decides so."""

    reason = serializers.CharField(
        max_length=LONGEST_REASON, help_text="Why, for whoever reads it later."
    )
