"""Errors of the service. They do not know HTTP; problems.py gives them status codes.

    ServiceError
    ├── SettingsError             the configuration cannot be used
    ├── RequestError              the request's form is not acceptable
    │   ├── MalformedRequest      framing that two parsers could read differently
    │   ├── HeadersTooLarge       too many headers, or too many bytes of them
    │   ├── UnsupportedEncoding   a Content-Encoding that this request may not have
    │   ├── BodyTooLarge          more bytes than the limit
    │   ├── RequestTimeout        the headers or the body did not arrive in time
    │   ├── MalformedForm         not multipart/form-data as it should be
    │   ├── MalformedJson         not JSON, or JSON that two parsers could read differently
    │   ├── MalformedHeader       a header that this route reads, and that cannot be read
    │   ├── ChecksumMismatch      the bytes that came are not those that the client sent
    │   ├── InvalidRequest        readable, but not what this route takes
    │   ├── InvalidInference      not a request of the Open Inference Protocol, or a tensor that contradicts itself
    │   └── ClientGone            nobody waits for the answer any more
    ├── AccessError
    │   ├── ForeignOrigin         a web page of another site sent the request, and no key is needed here
    │   ├── MisdirectedRequest    the Host header names another server
    │   └── KeyRefused            says which key it was
    │       ├── Unauthorized      no key, or an unknown one
    │       ├── Forbidden         a key that may not do this
    │       └── QuotaExceeded     this key must wait; says for how long
    │           ├── RateLimited       it sent more requests than its rate allows
    │           ├── TooManyUnderWay   it has more concurrent requests than it may
    │           └── TooManyWrongKeys  its address has sent too many wrong ones
    ├── UnknownTask               no task of this name
    ├── FeedbackError             about corrections
    │   ├── FeedbackOff           the task takes none here
    │   ├── UnknownFeedback       there is no such correction
    │   ├── UnknownRequest        no image of this request is remembered
    │   ├── FeedbackFull          there is no room for another one
    │   └── FeedbackUnavailable   the file of corrections cannot be used
    ├── NothingToRollBack         the alias never pointed anywhere else, or the earlier version is deleted
    ├── ChangedMeanwhile          somebody else changed the task while this request was about to
    ├── ConfirmationRequired      a change that stops a task, without If-Match
    ├── RefusedByWarnings         a sound file that is worse or different, where the upload asked for a refusal
    ├── TaskUnavailable           the task is known, but its adapter cannot be served here; says why
    │   ├── NoLiveVersion         no version of it is live; stays so until somebody sets the alias
    │   ├── TaskUnloaded          it was unloaded on this server; stays so until somebody loads it
    │   ├── TaskRefused           its file does not fit this server's backbone or release; stays so
    │   └── TaskDamaged           its stored bytes are damaged; stays so until they are published again
    ├── NonFiniteOutput           the adapter gives NaN or infinity for this image
    ├── NotReady                  the server takes no work: it is stopping, or its engine is down
    └── Overloaded                try again later
        ├── TooManyConnections    more connections, or calls of gRPC, than the limit
        ├── TooManyRequests       they come faster than they can be looked at
        ├── TooManyBytes          the bodies being read fill the memory set aside for them
        ├── DecodeBacklog         more images wait to be decoded than the limit
        ├── UploadBacklog         more uploads wait than the limit
        ├── LoadBacklog           more task adapters wait to be loaded than the limit
        └── ReadBacklog           more reads of the store, or downloads, than the limit

Messages never repeat what the client sent.
"""


class ServiceError(Exception):
    """Base of every error of the service."""


class SettingsError(ServiceError):
    """A setting is unknown, out of range, or unsafe."""


class RequestError(ServiceError):
    """Base of errors in the form of a request."""


class MalformedRequest(RequestError):
    """Framing headers contradict each other."""


class HeadersTooLarge(RequestError):
    """Too many request headers, or too many bytes of them."""


class UnsupportedEncoding(RequestError):
    """The body carries a Content-Encoding that this request may not have."""


class BodyTooLarge(RequestError):
    """The body, or one part of it, has more bytes than the limit."""


class RequestTimeout(RequestError):
    """The request did not arrive completely in time."""


class MalformedForm(RequestError):
    """The body is not the multipart form that its Content-Type promises."""


class MalformedJson(RequestError):
    """The body is not JSON that all parsers read alike."""


class MalformedHeader(RequestError):
    """A header that this route reads is not written as its standard says."""


class ChecksumMismatch(RequestError):
    """The bytes that arrived do not give the checksum that came with them."""


class InvalidRequest(RequestError):
    """The request is readable, but not what this route takes."""


class InvalidInference(RequestError):
    """The request is not one of the Open Inference Protocol, or a tensor is not what it says it is."""


class ClientGone(RequestError):
    """The client closed the connection before its answer was there."""


class AccessError(ServiceError):
    """Base of errors about access."""


class ForeignOrigin(AccessError):
    """A web page of another site sent the request without a key."""


class MisdirectedRequest(AccessError):
    """The Host header names another server, as after DNS rebinding."""


class KeyRefused(AccessError):
    """Base of refusals because of a key; `key` is its name, None for an unknown key."""

    def __init__(self, message: str, *, key: str | None = None) -> None:
        super().__init__(message)
        self.key = key


class Unauthorized(KeyRefused):
    """The request carries no key, or an unknown one."""


class Forbidden(KeyRefused):
    """The key is known, but may not do this."""


class QuotaExceeded(KeyRefused):
    """A key has used up its limit; `retry_after` (whole seconds) says when to try again."""

    retry_after = 1


class RateLimited(QuotaExceeded):
    """The key sent requests faster than its rate allows."""

    def __init__(self, retry_after: int, *, key: str | None = None) -> None:
        super().__init__(f"this key may ask again in {retry_after} s", key=key)
        self.retry_after = retry_after


class TooManyUnderWay(QuotaExceeded):
    """The key has more concurrent requests than it may."""


class TooManyWrongKeys(QuotaExceeded):
    """The key is unknown, and the address has sent many unknown keys."""


class UnknownTask(ServiceError):
    """No task of this name is published."""


class FeedbackError(ServiceError):
    """Base of errors about corrections."""


class FeedbackOff(FeedbackError):
    """The task takes no corrections on this server."""


class UnknownFeedback(FeedbackError):
    """There is no such correction."""


class UnknownRequest(FeedbackError):
    """No image of this request is remembered."""


class FeedbackFull(FeedbackError):
    """There is no room for another correction."""


class FeedbackUnavailable(FeedbackError):
    """The file of corrections cannot be used."""


class NothingToRollBack(ServiceError):
    """There is no earlier target to which the alias could return."""


class ChangedMeanwhile(ServiceError):
    """Somebody else changed the task at the same time; no precondition said what it should be."""


class TaskUnavailable(ServiceError):
    """The task is published, but its adapter cannot be served here."""


class NoLiveVersion(TaskUnavailable):
    """No version of the task is live. Asking again does not help."""


class TaskUnloaded(TaskUnavailable):
    """Somebody unloaded the task on this server. Asking again does not help."""


class TaskRefused(TaskUnavailable):
    """The task's file is intact, and no file for this server. Asking again does not help."""


class TaskDamaged(TaskUnavailable):
    """The store does not hold the bytes that were published any more. Asking again does not help."""


class ConfirmationRequired(ServiceError):
    """The change stops a task, and no If-Match confirms that this is meant."""


class RefusedByWarnings(ServiceError):
    """The file is sound, but worse or different than the live version, and the upload asked to refuse such a file."""


class NonFiniteOutput(ServiceError):
    """The task adapter's answer to this image is NaN or infinity."""


class NotReady(ServiceError):
    """The server takes no work."""


class Overloaded(ServiceError):
    """A bounded resource is used up for now."""


class TooManyConnections(Overloaded):
    """More connections, or calls of gRPC, are open than the limit."""


class TooManyRequests(Overloaded):
    """Requests come faster than they can be looked at."""


class TooManyBytes(Overloaded):
    """The bodies being read fill the memory set aside for them."""


class DecodeBacklog(Overloaded):
    """More images wait to be decoded than the limit."""


class UploadBacklog(Overloaded):
    """More uploads wait to be checked than the limit."""


class LoadBacklog(Overloaded):
    """More task adapters wait to be loaded than the limit."""


class ReadBacklog(Overloaded):
    """More reads of the store wait, or more downloads run, than the limit."""
