"""The check of `deeptrace doctor` about the narrator."""

from streams.narrator.claude import Claude, require_key
from streams.settings import Settings


async def narrator(settings: Settings) -> str:
    """Whether the API accepts our key and knows the model; costs no tokens."""
    require_key(settings.narrator)
    claude = Claude(settings.narrator)
    try:
        await claude.check()
    finally:
        await claude.close()
    return f"{settings.narrator.model} at {settings.narrator.base_url}, at most {settings.narrator.tokens_per_day:,} tokens a day"
