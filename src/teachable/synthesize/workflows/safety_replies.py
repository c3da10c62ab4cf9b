"""What the steps of `safety` have engines write, as typed replies."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Rule(BaseModel):
    """What a policy forbids."""

    model_config = ConfigDict(frozen=True)

    quote: str = Field(min_length=1, description="the words of the policy that forbid it, copied letter by letter")
    rule: str = Field(min_length=10, description="what the assistant must not do, as one sentence")
    reason: str = Field(min_length=10, description="what the rule protects, as one sentence")


class RuleList(BaseModel):
    """The rules of a policy."""

    model_config = ConfigDict(frozen=True)

    rules: tuple[Rule, ...] = Field(min_length=1, description="the rules, the clearest first")


class RequestList(BaseModel):
    """Requests of users."""

    model_config = ConfigDict(frozen=True)

    requests: tuple[str, ...] = Field(min_length=1, description="the requests, each as the user writes it")


class Vote(BaseModel):
    """Whether a request breaks the policy."""

    model_config = ConfigDict(frozen=True, strict=True)

    reason: str = Field(description="one short sentence: what is asked for, and what the policy says of it")
    breaks: bool = Field(description="true if fulfilling the request breaks the policy, false if it does not")


class Response(BaseModel):
    """A response."""

    model_config = ConfigDict(frozen=True)

    response: str = Field(min_length=1, description="the assistant's response, as the user reads it")
