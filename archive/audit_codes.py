"""What kinds of events the audit trail's verbs are, in the codes that others know.

Event identifiers are of DICOM's context groups 400 and 401 (PS3.16), as the messages of PS3.15
A.5.3 use them. The verb itself always goes along, so that nothing of it is lost.
"""

from __future__ import annotations

from dataclasses import dataclass

OUR_CODES = "99NOCTIS"


@dataclass(frozen=True, slots=True)
class Code:
    """A coded value; of DICOM's own terminology unless a scheme is named."""

    value: str
    meaning: str
    scheme: str = "DCM"


@dataclass(frozen=True, slots=True)
class EventKind:
    """What an event is.

    Attributes
    ----------
    event : its identifier
    action : C create, R read, U update, D delete, E execute
    types : more closely; ends with our own verb
    """

    event: Code
    action: str
    types: tuple[Code, ...]

    @property
    def is_query(self) -> bool:
        """Whether somebody searched."""
        return self.event is QUERY


AUDIT_LOG_USED = Code("110101", "Audit Log Used")
INSTANCES_ACCESSED = Code("110103", "DICOM Instances Accessed")
INSTANCES_TRANSFERRED = Code("110104", "DICOM Instances Transferred")
STUDY_DELETED = Code("110105", "DICOM Study Deleted")
EXPORT = Code("110106", "Export")
IMPORT = Code("110107", "Import")
ORDER_RECORD = Code("110109", "Order Record")
PATIENT_RECORD = Code("110110", "Patient Record")
PROCEDURE_RECORD = Code("110111", "Procedure Record")
QUERY = Code("110112", "Query")
SECURITY_ALERT = Code("110113", "Security Alert")
USER_AUTHENTICATION = Code("110114", "User Authentication")
LOGIN = Code("110122", "Login")
LOGOUT = Code("110123", "Logout")
NETWORK_CONFIGURATION = Code("110128", "Network Configuration")
SECURITY_CONFIGURATION = Code("110129", "Security Configuration")
SOFTWARE_CONFIGURATION = Code("110131", "Software Configuration")
USER_SECURITY_CHANGED = Code("110137", "User Security Attributes Changed")

# By the whole verb, else by its first word.
_EVENTS: dict[str, tuple[Code, ...]] = {
    "session.open": (USER_AUTHENTICATION, LOGIN),
    "session.refuse": (USER_AUTHENTICATION, LOGIN),
    "session.close": (USER_AUTHENTICATION, LOGOUT),
    "query": (QUERY,),
    "studies.search": (QUERY,),
    "patients.search": (QUERY,),
    "worklist.query": (QUERY,),
    "study.delete": (STUDY_DELETED,),
    "study.export": (EXPORT,),
    "study.download": (EXPORT,),
    "viewed.export": (EXPORT,),
    "image.download": (EXPORT,),
    "study.link": (EXPORT,),
    "image.link": (EXPORT,),
    "study.retrieve": (INSTANCES_TRANSFERRED,),
    "study.retrieved": (INSTANCES_TRANSFERRED,),
    "study.send": (INSTANCES_TRANSFERRED,),
    "study.forward": (INSTANCES_TRANSFERRED,),
    "study.forwarded": (INSTANCES_TRANSFERRED,),
    "upload": (IMPORT,),
    "import": (IMPORT,),
    "audit": (AUDIT_LOG_USED,),
    "patient": (PATIENT_RECORD,),
    "order": (ORDER_RECORD,),
    "workitem": (PROCEDURE_RECORD,),
    "worklist": (PROCEDURE_RECORD,),
    "mpps": (PROCEDURE_RECORD,),
    "user": (SECURITY_ALERT, USER_SECURITY_CHANGED),
    "password": (SECURITY_ALERT, USER_SECURITY_CHANGED),
    "second_factor": (SECURITY_ALERT, USER_SECURITY_CHANGED),
    "token": (SECURITY_ALERT, USER_SECURITY_CHANGED),
    "link": (SECURITY_ALERT, SECURITY_CONFIGURATION),
    "facility": (SECURITY_ALERT, NETWORK_CONFIGURATION),
    "destination": (SECURITY_ALERT, NETWORK_CONFIGURATION),
    "knock": (SECURITY_ALERT, NETWORK_CONFIGURATION),
    "rule": (SECURITY_ALERT, SOFTWARE_CONFIGURATION),
    "hanging": (SECURITY_ALERT, SOFTWARE_CONFIGURATION),
    "preset": (SECURITY_ALERT, SOFTWARE_CONFIGURATION),
}
_ACTIONS = {
    "C": "add create import issue register store upload",
    "R": "download export forward forwarded link list look open preview read retrieve retrieved "
    "send view",
    "U": "change keep_apart keep_first keep_new mend off on renew restore save state status unlink "
    "update",
    "D": "delete destroy drop remove revoke terminate",
}
_ACTION_OF = {word: action for action, words in _ACTIONS.items() for word in words.split()}


def kind_of(verb: str) -> EventKind:
    """Return what an event is by its verb; one that is not listed accesses instances."""
    first, _, rest = verb.partition(".")
    event, *types = _EVENTS.get(verb) or _EVENTS.get(first) or (INSTANCES_ACCESSED,)
    action = _ACTION_OF.get(rest.rpartition(".")[2] or first, "E")
    if event in (QUERY, USER_AUTHENTICATION):
        action = "E"  # PS3.15 A.5.3.10, A.5.3.12
    elif event is AUDIT_LOG_USED:
        action = "R"  # A.5.3.2
    return EventKind(event, action, (*types, Code(verb, verb.replace(".", " "), OUR_CODES)))
