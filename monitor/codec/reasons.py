"""Why a record can't be used as a row: the closed list of reasons of dead letters, each with its sentence."""

from __future__ import annotations

INVALID_UTF8 = "invalid_utf8"
INVALID_JSON = "invalid_json"
JSON_TOO_DEEP = "json_too_deep"
NOT_AN_OBJECT = "not_an_object"
MISSING_MODEL = "missing_model"
UNKNOWN_MODEL = "unknown_model"
INVALID_ID = "invalid_id"
MISSING_TIME = "missing_time"
INVALID_TIME = "invalid_time"
TIME_OUT_OF_RANGE = "time_out_of_range"
MISSING_FEATURES = "missing_features"
MISSING_PREDICTION_ID = "missing_prediction_id"
MISSING_LABEL = "missing_label"
INVALID_LABEL = "invalid_label"
TIME_AHEAD = "time_ahead"
QUARANTINED = "quarantined"

SENTENCES = {
    INVALID_UTF8: "The value is not UTF-8.",
    INVALID_JSON: "The value is not one whole JSON text.",
    JSON_TOO_DEEP: "Arrays and objects are nested more than 500 levels deep.",
    NOT_AN_OBJECT: "The value is JSON, but no object.",
    MISSING_MODEL: "There is no `model`, or it is null, and several models read this topic.",
    UNKNOWN_MODEL: "alerts.yaml declares no such model on this topic.",
    INVALID_ID: "`event_id` is there, and no text of 1 to 256 characters without control characters.",
    MISSING_TIME: "The field of the event time is missing, null or an empty text.",
    INVALID_TIME: "The event time is in none of the forms that times may have.",
    TIME_OUT_OF_RANGE: "The event time is before 2000 or not before 2100.",
    MISSING_FEATURES: "`features` is missing or no object.",
    MISSING_PREDICTION_ID: "A label has no id, or one that is neither an integer nor a text of 1 to 256 characters.",
    MISSING_LABEL: "A label's value is missing, null or an empty text.",
    INVALID_LABEL: "A label's value is not a class, or of regression not a finite number.",
    TIME_AHEAD: "The event time is too far ahead of the broker's stamp, or of its neighbours.",
    QUARANTINED: "The process died three times at this record alone; it was not looked at again.",
}
"""Reason -> what was found. A record is rejected for the first that holds, in this order; QUARANTINED before all."""
