"""Customers and subjects: whose usage is whose."""

from __future__ import annotations

from api.customers.management import UPSERTS_MAX
from api.openapi.customer_answers import CustomerAnswer, CustomerPageAnswer, SubjectAnswer
from api.openapi.operation import JSON, Answer, Operation
from api.v1 import customers, subjects

_CUSTOMERS = "customers"
_SUBJECTS = "subjects"
_PATH_CODES = ("invalid_parameter",)
_MISSING = {404: ("not_found",)}
_CUSTOMER = Answer(says="The customer.", content={JSON: CustomerAnswer})
_SUBJECT = Answer(says="The subject.", content={JSON: SubjectAnswer})
_WRITE_CODES = (
    "country_invalid",
    "currency_invalid",
    "currency_not_found",
    "length_invalid",
    "metadata_too_large",
    "subject_key_is_id",
    "subject_keys_too_large",
    "text_invalid",
    "too_many_subject_keys",
    "usage_attribution_missing",
)
_MEMBERS = {
    "key": "Your own id of it: no other live customer has it, and none has it as a subject key. Its events are the customer's usage, too.",
    "name": "For people.",
    "description": "For people.",
    "metadata": "Your own keys and values.",
    "usageAttribution": "Subjects whose events are its usage; `key` or a subject key is needed.",
    "subjectKeys": "No other live customer has them. Subjects that are not managed yet are made.",
    "primaryEmail": "For invoices.",
    "currency": "ISO 4217 code that it pays in.",
    "billingAddress": "For invoices.",
}
_EXPAND = {"expand": "Taken; there are no subscriptions yet."}
_ACME = {
    "key": "acme",
    "name": "Acme Ltd",
    "currency": "EUR",
    "usageAttribution": {"subjectKeys": ["acme-production", "acme-test"]},
}

OPERATIONS = (
    Operation(
        handler=customers.create,
        id="createCustomer",
        tag=_CUSTOMERS,
        summary="Make a customer",
        details="Events of its key and its subject keys are its usage, those of the past, too.",
        body={JSON: customers.CustomerBody},
        examples={JSON: _ACME},
        words=_MEMBERS,
        answers={201: _CUSTOMER},
        codes={400: _WRITE_CODES, 409: ("conflict",)},
    ),
    Operation(
        handler=customers.list_customers,
        id="listCustomers",
        tag=_CUSTOMERS,
        summary="List customers",
        query=customers.ListQuery,
        words={
            "page": "From 1 on.",
            "pageSize": "Customers on a page.",
            "order": "Direction.",
            "orderBy": "By what; `name` is the default.",
            "includeDeleted": "Deleted ones, too.",
            "key": "Part of the key, whatever the case.",
            "name": "Part of the name, whatever the case.",
            "primaryEmail": "Part of the e-mail, whatever the case.",
            "subject": "Part of a subject key, whatever the case.",
            "planKey": "Nobody has a plan yet: the page is empty.",
            **_EXPAND,
        },
        answers={200: Answer(says="A page.", content={JSON: CustomerPageAnswer})},
    ),
    Operation(
        handler=customers.read,
        id="getCustomer",
        tag=_CUSTOMERS,
        summary="Read a customer",
        details="By id, deleted ones too, or by the key of a live one.",
        query=customers.ReadQuery,
        words=_EXPAND,
        answers={200: _CUSTOMER},
        codes={400: _PATH_CODES, **_MISSING},
    ),
    Operation(
        handler=customers.replace,
        id="updateCustomer",
        tag=_CUSTOMERS,
        summary="Replace a customer",
        details="What is left out is cleared, except e-mail and currency, which stay.",
        body={JSON: customers.CustomerBody},
        examples={JSON: _ACME},
        words=_MEMBERS,
        answers={200: _CUSTOMER},
        codes={
            400: (*_PATH_CODES, *_WRITE_CODES),
            409: ("conflict",),
            412: ("precondition_failed",),
            **_MISSING,
        },
    ),
    Operation(
        handler=customers.delete,
        id="deleteCustomer",
        tag=_CUSTOMERS,
        summary="Delete a customer",
        details="Its key and its subjects are free. Refused with 409 while entitlements are active.",
        answers={204: Answer(says="It is deleted.")},
        codes={
            400: _PATH_CODES,
            409: ("conflict",),
            412: ("precondition_failed",),
            **_MISSING,
        },
    ),
    Operation(
        handler=subjects.upsert,
        id="upsertSubject",
        tag=_SUBJECTS,
        summary="Make or change subjects",
        details=f"All or none; at most {UPSERTS_MAX}. Of a known key only the members that are given are changed, null clears one.",
        body={JSON: list[subjects.SubjectBody]},
        examples={JSON: [{"key": "acme-production", "displayName": "Acme, production"}]},
        answers={
            200: Answer(
                says="The subjects in the order of the request; null for none.",
                content={JSON: list[SubjectAnswer] | None},
            )
        },
        codes={
            400: (
                "length_invalid",
                "metadata_too_deep",
                "metadata_too_large",
                "stripe_customer_id_invalid",
                "text_invalid",
                "too_many_subjects",
            ),
            409: ("conflict",),
        },
    ),
    Operation(
        handler=subjects.list_subjects,
        id="listSubjects",
        tag=_SUBJECTS,
        summary="List subjects",
        answers={200: Answer(says="All live ones by id.", content={JSON: list[SubjectAnswer]})},
    ),
    Operation(
        handler=subjects.read,
        id="getSubject",
        tag=_SUBJECTS,
        summary="Read a subject",
        details="By id, deleted ones too, or by the key of a live one.",
        answers={200: _SUBJECT},
        codes=_MISSING,
    ),
    Operation(
        handler=subjects.delete,
        id="deleteSubject",
        tag=_SUBJECTS,
        summary="Delete a subject",
        details="Its name and metadata go; events of its key count as before, and its customer keeps the key.",
        answers={204: Answer(says="It is deleted.")},
        codes=_MISSING,
    ),
)
