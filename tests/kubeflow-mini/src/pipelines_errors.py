"""Errors of the Pipelines API, in the shape that its gateway gives them."""

# gRPC code → HTTP status, as the gateway maps them.
STATUS = {3: 400, 5: 404, 6: 409, 7: 403, 12: 501, 13: 500, 16: 401}
INVALID, NOT_FOUND, EXISTS, FORBIDDEN, UNIMPLEMENTED, INTERNAL, UNAUTHENTICATED = 3, 5, 6, 7, 12, 13, 16
# What the real server puts between its own context and the detail.
KIND = {
    INVALID: "Invalid input error",
    NOT_FOUND: "ResourceNotFoundError",
    EXISTS: "Already exist error",
    FORBIDDEN: "PermissionDenied",
    INTERNAL: "InternalServerError",
    UNAUTHENTICATED: "Unauthenticated",
}


class ApiError(Exception):
    """An answer that is no success. `detail` is the inner message; without one the gateway itself refused the request."""

    def __init__(self, code, message, detail=None):
        super().__init__(message)
        self.code, self.message, self.detail = code, message, detail

    @property
    def status(self):
        """The HTTP status."""
        return STATUS[self.code]

    def body(self):
        """The JSON body."""
        body = {"code": self.code, "message": self.message}
        if self.detail is not None:
            inner = {"@type": "type.googleapis.com/google.rpc.Status", "code": self.code, "message": self.detail}
            body["details"] = [inner]
        return body

    def headers(self):
        """A refused identity is named in a header too."""
        return [("Www-Authenticate", self.message.replace("\n", " "))] if self.code == UNAUTHENTICATED else []

    def within(self, context):
        """The same error, told from further out."""
        return ApiError(self.code, f"{context}: {self.message}", self.detail)


def refused(code, detail, after=""):
    """An error of the server itself: its kind, then the detail, then what followed."""
    return ApiError(code, f"{KIND[code]}: {detail}{after}", detail)


def conversion(operation, detail):
    """What the real server makes of a run that it cannot convert: an internal error, though the caller caused it."""
    message = (
        f"{operation} due to conversion error: InternalServerError: Failed to convert a API run detail to its internal"
    )
    return ApiError(INTERNAL, f"{message} representation: Invalid input error: {detail}", "Internal Server Error")
