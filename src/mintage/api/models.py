"""What travels over HTTP, field by field: the OpenAPI document is made of these."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class Problem(_Wire):
    """An error (RFC 9457)."""

    type: str = Field(examples=["urn:mintage:problem:data_error"])
    title: str = Field(examples=["The data cannot be used"])
    status: int = Field(examples=[422])
    detail: str = Field(description="What was wrong, and what was got, as Accept-Language asks.")
    code: str = Field(description="The error's name, stable.", examples=["data_error"])
    remedy: str = Field(description="What to do next.")
    instance: str = Field(description="The request's id, also in X-Request-Id.")
    incident: str | None = Field(None, description="Only where it is our mistake: tell us this.")


class InferProblem(Problem):
    """An error under ``/v2``: the Open Inference Protocol's, and an RFC 9457 one."""

    error: str = Field(description="What was wrong and what to do next, in one text.")


class CallPrice(_Wire):
    """What this call costs."""

    amount: str = Field(description="A decimal string.", examples=["0.02"])
    currency: str = Field(examples=["EUR"])
    final: bool = Field(description="False where a plan settles the price at the period's end.")


class SignedReceipt(_Wire):
    """A signed promise about the call: its hashes, its price, its place in the audit log."""

    id: str
    event: str
    envelope: dict[str, Any] = Field(description="DSSE; the payload is the statement.")


class Inclusion(_Wire):
    """That a leaf is in the audit log (RFC 9162): its siblings lead to a signed root."""

    position: int = Field(description="As in the receipt's statement.")
    index: int = Field(description="Of the leaf in the tree that the head is of.")
    size: int = Field(description="The head's.")
    leaf_hash: str = Field(description="As in the receipt's statement, hexadecimal.")
    path: list[str] = Field(description="The siblings, lowest first, hexadecimal.")
    head: str = Field(description="The tree head, a C2SP signed note.")


class FetchedReceipt(SignedReceipt):
    """A receipt, and the proof that its event is in the audit log."""

    inclusion: Inclusion | None = Field(None, description="Null while no head is over it.")
    not_included: str | None = Field(
        None, description="Why there is no proof, where there is none."
    )


class PublicKey(_Wire):
    """A key that signatures are verified with."""

    key_id: str = Field(description="SHA-256 of the SubjectPublicKeyInfo (DER), hexadecimal.")
    algorithm: str = Field(examples=["ECDSA P-256 SHA-256", "Ed25519"])
    pem: str = Field(description="SubjectPublicKeyInfo.")
    valid_from: str | None = Field(None, description="Since when it signs.")
    valid_until: str | None = Field(None, description="Until when it signed; null while it does.")
    revoked_at: str | None = Field(None, description="From when on it is not to be believed.")
    reason: str | None = Field(None, description="Why it was revoked.")


class PublicKeyWithFormer(PublicKey):
    """The key that signs now, and those that it followed."""

    former: list[PublicKey] = Field([], description="The latest first; revoked ones too.")


class PublicKeys(_Wire):
    """The public keys, by what they sign; a role that never signed anything has none."""

    receipt: PublicKeyWithFormer
    log: PublicKeyWithFormer
    bundle: PublicKeyWithFormer | None = None
    data: PublicKeyWithFormer | None = None
    witness: PublicKeyWithFormer | None = None


class FrozenLog(_Wire):
    """A log that was found damaged; nothing more is signed of it."""

    origin: str
    log: int
    first_position: int
    size: int = Field(description="Of its last good head.")
    frozen_at: str
    reason: str


class AuditLog(_Wire):
    """The audit log's newest signed head, and what it is verified with."""

    origin: str = Field(examples=["mintage.local/log"])
    log: int = Field(description="1, and one more for each log that was frozen.")
    first_position: int = Field(description="Of its first entry: an index is counted from there.")
    size: int = Field(description="The head's.")
    head: str = Field(description="The tree head, a C2SP signed note.")
    witnessed: str | None = Field(
        description="The newest head that witnesses signed too, with their lines; null: none."
    )
    key: PublicKey
    frozen: list[FrozenLog] = Field(description="Those before it, the oldest first.")


class LogConsistency(_Wire):
    """That the log only grew between two sizes (RFC 9162)."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=(), populate_by_name=True)

    origin: str
    earlier: int = Field(alias="from")
    size: int = Field(alias="to")
    path: list[str] = Field(description="Hashes, hexadecimal.")
    head: str | None = Field(description="The larger size's tree head, where one was signed.")


class ExplanationMap(_Wire):
    """How far the probability of the label falls when each place of the picture is hidden."""

    shape: list[int] = Field(description="Rows and columns; they cover the whole picture.")
    values: list[float] = Field(description="Row by row.")


class Explanation(_Wire):
    """Where in the picture the answer comes from."""

    label: str = Field(description="The label that is explained.")
    where: str = Field(description="In words.", examples=["mostly the middle"])
    drop: float = Field(description="How far the probability falls where most depends on it.")
    map: ExplanationMap | None = Field(None, description="Where numbers are asked for.")
    png: str | None = Field(
        None, description="Base64, where a picture is asked for: orange falls, blue rises."
    )


class Prediction(_Wire):
    """An answer."""

    id: str = Field(description="The usage event's id.")
    task: str = Field(examples=["class"])
    output: dict[str, Any] = Field(
        description="Shaped by the task; for 'class': label, probability, probabilities.",
        examples=[
            {"label": "cat", "probability": 0.97, "probabilities": {"cat": 0.97, "dog": 0.03}}
        ],
    )
    model: str
    model_version: str
    receipt: SignedReceipt
    price: CallPrice
    explanation: Explanation | None = Field(
        None, description="Only where it is asked for; null where the model gives no label."
    )


class BatchResult(_Wire):
    """One of several: the answer, or the problem that it alone had."""

    status: int = Field(description="As if it had come alone.")
    answer: Prediction | None
    problem: dict[str, Any] | None
    replayed: bool = Field(description="Whether it is the stored answer of an earlier call, free.")


class Predictions(_Wire):
    """Several answers, in the order of the pictures."""

    results: list[BatchResult]


class UnitPrice(_Wire):
    """What a product costs."""

    amount: str = Field(description="A decimal string.", examples=["0.02"])
    currency: str = Field(examples=["EUR"])
    per: int = Field(description="For so many units.", examples=[1])
    unit: str = Field(examples=["image"])
    explanation: str = Field(
        description="For one explanation besides, a decimal string; 0 where it is included.",
        examples=["0.05"],
    )


class ListPrice(_Wire):
    """What so many units of a kind cost, before anything is used and nothing included."""

    amount: str = Field(description="A decimal string.", examples=["0.27"])
    currency: str = Field(examples=["EUR"])
    per: int = Field(examples=[1_000_000])


class CallRate(_Wire):
    """How many calls a customer may make; ``RateLimit`` says in each answer what is left."""

    calls: int = Field(examples=[600])
    seconds: int = Field(examples=[60])


class AnswersTold(_Wire):
    """How much of their probabilities answers tell."""

    decimals: int | None = Field(description="To so many they are rounded; null is all of them.")
    top: int | None = Field(
        description="Of so many labels, the most probable, they are told; null is all of them."
    )


class ProductMetadata(_Wire):
    """What anyone may know of a product."""

    name: str
    task: str
    modality: str
    labels: list[str]
    model: str
    model_version: str
    ready: bool
    price: UnitPrice
    prices: dict[str, ListPrice] = Field(
        description="By unit: image, explanation, input_token, output_token …"
    )
    rate: CallRate | None = Field(description="Null where calls are not counted.")
    answers: AnswersTold


class ProductName(_Wire):
    """A product in the list."""

    name: str


class ProductList(_Wire):
    """What is sold here."""

    products: list[ProductName]


_Next = Annotated[str | None, Field(description="What to go on after; null where the list ends.")]


class UsageList(_Wire):
    """A customer's usage events, newest first."""

    usage: list[dict[str, Any]]
    next: _Next


class UsageTotal(_Wire):
    """What was used of a product, of the calls with one outcome."""

    customer: str
    product: str
    outcome: str = Field(examples=["ok"])
    events: int = Field(description="How many calls.")
    quantities: dict[str, int] = Field(examples=[{"image": 812}])


class UsageTotals(_Wire):
    """What was used in a month, by product and outcome."""

    period: str = Field(examples=["2026-11"])
    totals: list[UsageTotal]


class InvoiceSummary(_Wire):
    """An invoice or a credit note, without its lines."""

    id: str
    kind: Literal["invoice", "credit_note"]
    number: str
    customer: str
    currency: str
    period: str = Field(examples=["2026-11"])
    attempt: int = Field(description="After one was voided or credited, the next.")
    status: Literal["issued", "paid", "void", "credited", "replaced"]
    corrects: str | None = Field(description="The invoice that a credit note is over.")
    created_at: str
    issued_at: str | None
    due_at: str | None
    closed_at: str | None
    total: str = Field(description="A decimal string in major units.")
    credit: str = Field(description="What your credit paid of it.")
    paid: str = Field(description="What other ways paid of it.")
    credited: str = Field(description="What credit notes took back of it.")
    to_pay: str


class UnitLimit(_Wire):
    """The units of one kind in a month; ``held`` by calls under way. No products are all."""

    plan: str
    unit: str
    products: list[str]
    month: str
    used: int
    held: int
    included: int
    soft_limit: int | None
    hard_limit: int | None


class SpendLimit(_Wire):
    """What a month's usage has come to, without fee, discount and tax; decimal strings."""

    plan: str
    currency: str
    month: str
    spent: str
    soft_spend_limit: str | None
    spend_limit: str | None


class KeyBudget(_Wire):
    """What a key's calls have come to in a month of UTC; decimal strings."""

    key: str
    name: str | None
    month: str
    currency: str
    spent: str
    held: str
    budget: str


class CreditLeft(_Wire):
    """What was paid in advance and is left; decimal strings."""

    currency: str
    left: str
    held: str


class Limits(_Wire):
    """What limits a customer, how much of it is used, and the credit that is left."""

    customer: str
    limits: list[UnitLimit]
    spending: list[SpendLimit]
    budgets: list[KeyBudget]
    credit: list[CreditLeft]


class InvoiceList(_Wire):
    """A customer's invoices and credit notes, the oldest first."""

    invoices: list[InvoiceSummary]
    next: _Next


class InvoicePreview(_Wire):
    """What a month that is not over comes to until now; nobody owes it yet."""

    customer: str
    final: Literal[False]
    documents: list[dict[str, Any]] = Field(
        description="Invoices to be, by currency, without a number; ``preview.until`` says of when."
    )


class InvoiceDocument(InvoiceSummary):
    """An invoice or a credit note; ``document`` never changes once it is issued."""

    document: dict[str, Any]


class ImageDocument(_Wire):
    """The JSON form of an upload."""

    image: str = Field(description="The picture's bytes in base64.")


class FeedbackDocument(_Wire):
    """What a customer says of an answer, with the picture again: uploads are not kept otherwise."""

    right: bool = Field(strict=True, description="Whether the answer was right.")
    label: str | None = Field(
        None,
        max_length=4096,
        description="The true label, one of the product's, where the answer was wrong;"
        " null where it is none of them.",
    )
    consent: Literal[True] = Field(
        description="That picture, answer and label may be kept to train a better model."
    )
    output: dict[str, Any] = Field(description="The answer's ``output``, as it came.")
    image: str = Field(description="The very bytes that were answered, in base64.")


class KeptFeedback(_Wire):
    """What is kept until it is withdrawn or used."""

    receipt: str
    product: str
    right: bool
    label: str | None
    sha256: str = Field(description="Of the picture's file as it is kept, without metadata.")
    size_bytes: int
    given_at: str


class Live(_Wire):
    """The server runs."""

    live: Literal[True] = True


class Ready(_Wire):
    """The server, or a model, can answer."""

    ready: Literal[True] = True


class Tensor(_Wire):
    """A tensor's metadata."""

    name: str
    datatype: str
    shape: list[int]


class ServerMetadata(_Wire):
    """The server, as the Open Inference Protocol describes it."""

    name: str
    version: str
    extensions: list[str]


class ModelMetadata(_Wire):
    """A model, as the Open Inference Protocol describes it."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[Tensor]
    outputs: list[Tensor]


class InferInput(BaseModel):
    """One input tensor: BYTES, an encoded picture in base64, or as bytes behind the JSON."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | str | None = None
    parameters: dict[str, Any] = {}


class InferRequest(BaseModel):
    """An inference request of the Open Inference Protocol."""

    id: str | None = Field(None, max_length=200)
    inputs: list[InferInput] = Field(json_schema_extra={"minItems": 1, "maxItems": 1})
    outputs: list[dict[str, Any]] = []
    parameters: dict[str, Any] = {}


class InferOutput(_Wire):
    """One output tensor."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] = {}


class InferResponse(_Wire):
    """An inference response; receipt and price stand in the parameters."""

    model_name: str
    model_version: str
    id: str
    outputs: list[InferOutput]
    parameters: dict[str, Any]


class _Passed(BaseModel):
    """What a language model answers: whatever it says besides is there too."""

    model_config = ConfigDict(extra="allow")


class LanguageError(_Wire):
    """An error as OpenAI's API has it."""

    message: str = Field(description="What was wrong and what to do next, in one text.")
    type: str = Field(examples=["invalid_request_error"])
    param: str | None = None
    code: str = Field(description="The error's name, stable.", examples=["quota_reached"])
    instance: str = Field(description="The request's id, also in X-Request-Id.")
    incident: str | None = Field(None, description="Only where it is our mistake: tell us this.")


class LanguageProblem(_Wire):
    """The answer that an error is, where clients of OpenAI's API call."""

    error: LanguageError


class Charged(_Wire):
    """What is charged for an answer, and what proves it."""

    receipt: str = Field(description="GET /v1/receipts/{receipt} has it.")
    event: str
    price: CallPrice


class ChatCompletion(_Passed):
    """An answer to a conversation."""

    model: str = Field(description="The product's name.")
    choices: list[dict[str, Any]] = []
    usage: dict[str, Any] | None = None
    mintage: Charged


class TextCompletion(ChatCompletion):
    """How a text goes on."""


class Embeddings(_Passed):
    """Vectors of texts."""

    model: str = Field(description="The product's name.")
    data: list[dict[str, Any]] = []
    usage: dict[str, Any] | None = None
    mintage: Charged


class LanguageModel(_Wire):
    """A language model that is sold here."""

    id: str = Field(description="The product's name: the ``model`` of a request.")
    object: Literal["model"]
    created: int = Field(description="When it was declared, in seconds since 1970.")
    owned_by: str


class LanguageModels(_Wire):
    """Those that a key may call."""

    object: Literal["list"]
    data: list[LanguageModel]
