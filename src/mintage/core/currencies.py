"""Currencies: the codes of ISO 4217 and how many decimals an amount on a document has."""

from __future__ import annotations

from mintage.core.errors import ConfigError
from mintage.core.messages import _

_TWO = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY
COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF
IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR
MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG
SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES
WST XCD XCG YER ZAR ZMW ZWG
"""
_NONE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_THREE = "BHD IQD JOD KWD LYD OMR TND"

EXPONENTS: dict[str, int] = {
    code: exponent
    for exponent, codes in ((0, _NONE), (2, _TWO), (3, _THREE))
    for code in codes.split()
}
"""Decimals of each currency in which something can be sold (ISO 4217, list one, 2025)."""


def exponent_of(currency: str) -> int:
    """How many decimals an amount in this currency has on a document.

    Raises:
        ConfigError: no code of ISO 4217 that goods are priced in.
    """
    try:
        return EXPONENTS[currency]
    except KeyError:
        raise ConfigError(
            _("Not a currency: {currency!r}.", currency=currency),
            remedy=_("Write its ISO 4217 code, such as EUR."),
        ) from None
