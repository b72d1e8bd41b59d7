"""What is worth saying of a pair of prompts before a model of few words draws them."""

from layerfusion.models.vocabulary import GLUE, Entry, Mention, Role, Vocabulary, article, split


def advise(known: Vocabulary, model: str, foreground: str, background: str) -> list[str]:
    """What a user should know of two prompts, a sentence each, the gravest first; nothing where all is as it should be.

    A prompt without any known subject or scene comes with the nearest names.

    Args:
        known: What the model knows.
        model: What a sentence calls it.
        foreground, background: The prompts.
    """
    things, places = known.mentions(foreground), known.mentions(background)
    if not _of("object", things) and not _of("scene", places) and _of("scene", things) and _of("object", places):
        return [
            f"the prompts look swapped: the first, “{foreground}”, names a scene, and the second, “{background}”, a "
            "thing; the first is what stands in front."
        ]
    lacking = [] if _of("object", things) else _lacking(known, model, "object", "foreground", foreground)
    lacking += [] if _of("scene", places) else _lacking(known, model, "scene", "background", background)
    return [*lacking, *_of_the_foreground(known, model, things), *_of_the_background(places)]


def _of_the_foreground(known: Vocabulary, model: str, things: list[Mention]) -> list[str]:
    sentences = []
    objects = _of("object", things)
    if len(objects) > 1 or any(mention.several for mention in objects):
        named = ", ".join(mention.words for mention in objects)
        sentences.append(
            f"the foreground prompt names several things ({named}), and {model} draws one in a foreground: some may be "
            "missing or grow together; better make one triplet for each."
        )
    coloured = [entry.name for entries in known.objects.values() for entry in entries if entry.coloured]
    sentences += [
        f"{article(mention.entry.name)} has one look only to {model}, so “{mention.colour}” may do nothing or "
        f"spoil it; colours go with {', '.join(coloured)}."
        for mention in objects
        if mention.colour and not mention.entry.coloured
    ]
    if scenes := _of("scene", things):
        sentences.append(
            f"the foreground prompt names a scene ({scenes[0].words}), and a foreground has none; say it in the "
            "background prompt."
        )
    return sentences


def _of_the_background(places: list[Mention]) -> list[str]:
    if not (objects := _of("object", places)):
        return []
    named = ", ".join(mention.words for mention in objects)
    return [
        f"the background prompt names a thing ({named}), which will stand in the background, and the subject before "
        "or in it; for a scene without it, leave it out."
    ]


def _lacking(known: Vocabulary, model: str, role: Role, which: str, prompt: str) -> list[str]:
    """Of a prompt without a known name: the names that hold one of its words, or those that are spelled like it."""
    entries: tuple[Entry, ...] = known.scenes if role == "scene" else sum(known.objects.values(), ())
    if not entries:
        return []
    names = [name for entry in entries for name in entry.names]
    words = [word for word in split(prompt) if word not in GLUE]
    partly = {word: [name for name in names if word in split(name)] for word in words}
    for word, holding in partly.items():
        if holding:
            return [f"{model} knows “{word}” of the {which} prompt only as part of {', '.join(holding[:4])}."]
    nearest = [name for word in words for name in known.nearest(word, names, least=0.4)][:3] or names[:3]
    what = "subject" if role == "object" else "scene"
    return [
        f"{model} knows no {what} in the {which} prompt, “{prompt}”, so whatever comes is a guess; of what it knows, "
        f"nearest in spelling: {', '.join(dict.fromkeys(nearest))}. See `layerfusion vocabulary`."
    ]


def _of(role: Role, mentions: list[Mention]) -> list[Mention]:
    return [mention for mention in mentions if mention.role == role]
