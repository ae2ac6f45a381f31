"""What the service itself refuses, in words without HTTP; problems.py alone gives them status codes.

    ServiceError
    ├── SettingsError             the configuration cannot be used
    ├── RequestError              the request's form is not acceptable
    │   ├── MalformedRequest      framing that two parsers could read differently
    │   ├── HeadersTooLarge       too many headers, or too many bytes of them
    │   ├── UnsupportedEncoding   a Content-Encoding
    │   ├── BodyTooLarge          more bytes than the limit
    │   ├── RequestTimeout        the headers or the body did not arrive in time
    │   ├── MalformedForm         not multipart/form-data as it should be
    │   ├── MalformedJson         not JSON, or JSON that two parsers could read differently
    │   ├── InvalidRequest        readable, but not what this route takes
    │   └── ClientGone            nobody waits for the answer any more
    ├── AccessError
    │   ├── Unauthorized          no key, or an unknown one
    │   └── Forbidden             a key that may not do this
    ├── UnknownTask               no task of this name
    ├── TaskUnavailable           the task is known, but its adapter cannot be served here; says why
    ├── NonFiniteOutput           the adapter gives no number for this image
    ├── NotReady                  the server takes no work: it is stopping, or its engine is down
    └── Overloaded                try again later
        ├── TooManyConnections    more connections than the limit
        ├── TooManyBytes          the bodies being read fill the memory set aside for them
        ├── DecodeBacklog         more images wait to be decoded than the limit
        └── UploadBacklog         more uploads wait than the limit

Messages never repeat what the client sent.
"""


class ServiceError(Exception):
    """Base of every error of the service."""


class SettingsError(ServiceError):
    """A setting is unknown, out of range, or unsafe."""


class RequestError(ServiceError):
    """Base of what is wrong with the form of a request."""


class MalformedRequest(RequestError):
    """Framing headers contradict each other."""


class HeadersTooLarge(RequestError):
    """Too many request headers, or too many bytes of them."""


class UnsupportedEncoding(RequestError):
    """The body carries a Content-Encoding; none is accepted."""


class BodyTooLarge(RequestError):
    """The body, or one part of it, has more bytes than the limit."""


class RequestTimeout(RequestError):
    """The request did not arrive completely in time."""


class MalformedForm(RequestError):
    """The body is not the multipart form that its Content-Type promises."""


class MalformedJson(RequestError):
    """The body is not JSON that all parsers read alike."""


class InvalidRequest(RequestError):
    """The request is readable, but not what this route takes."""


class ClientGone(RequestError):
    """The client closed the connection before its answer was there."""


class AccessError(ServiceError):
    """Base of what a key does not allow."""


class Unauthorized(AccessError):
    """The request carries no key, or an unknown one."""


class Forbidden(AccessError):
    """The key is known, but may not do this."""


class UnknownTask(ServiceError):
    """No task of this name is published."""


class TaskUnavailable(ServiceError):
    """The task is published, but its adapter cannot be served here."""


class NonFiniteOutput(ServiceError):
    """The task adapter's answer to this image is not a number."""


class NotReady(ServiceError):
    """The server takes no work."""


class Overloaded(ServiceError):
    """A bounded resource is used up for now."""


class TooManyConnections(Overloaded):
    """More connections are open than the limit."""


class TooManyBytes(Overloaded):
    """The bodies being read fill the memory set aside for them."""


class DecodeBacklog(Overloaded):
    """More images wait to be decoded than the limit."""


class UploadBacklog(Overloaded):
    """More uploads wait to be checked than the limit."""
