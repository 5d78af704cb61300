"""The section of the settings that says which settings of models are tried."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, StrictBool, StrictFloat, StrictInt, StrictStr, TypeAdapter, ValidationError

from lib.settings.recommend import Als, Content, Ease, Embedding, ItemCf, Repeat, UserCf
from lib.settings.section import Section

Value = StrictBool | StrictInt | StrictFloat | StrictStr
Values = dict[str, dict[str, Annotated[list[Value], Field(min_length=1)]]]

TUNED: dict[str, type[Section]] = {
    "als": Als, "item_cf": ItemCf, "user_cf": UserCf, "ease": Ease, "content": Content, "content_w2v": Embedding, "item2vec": Embedding,
    "repeat": Repeat,
}  # fmt: skip
"""Model → the section of its name."""


def _of_models(values: Values) -> Values:
    for model, settings in values.items():
        if model not in TUNED:
            raise ValueError(f"there is no model {model} with settings to try; there are {', '.join(TUNED)}")
        known = TUNED[model].model_fields
        for name, tried in settings.items():
            if name not in known:
                raise ValueError(f"{model}.{name} is no setting; [{model}] has {', '.join(known)}")
            kind: Any = (
                Annotated[(known[name].annotation, *known[name].metadata)]
                if known[name].metadata
                else known[name].annotation
            )
            for value in tried:
                try:
                    TypeAdapter(kind).validate_python(value)
                except ValidationError as error:
                    raise ValueError(f"{model}.{name} can't be {value!r}: {error.errors()[0]['msg'].lower()}") from None
    return values


class Search(Section):
    """[search]: settings of models are tried before they serve."""

    budget: Annotated[int, Field(ge=0)]
    """Most trials of one search, over all models; 0: nothing is tried, and every model is as its section says."""
    validation_days: Annotated[int, Field(ge=0)]
    """Trials are judged by the events of so many days before those that evaluate_recommendations judges by; 0: by the newest item of each
    customer."""
    every_days: Annotated[int, Field(ge=0)]
    """What was found stands for so many days; 0: each release tries anew."""
    values: Annotated[Values, AfterValidator(_of_models)]
    """Model → setting of its section → the values to try."""
