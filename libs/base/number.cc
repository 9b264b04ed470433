#include "base/number.h"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>

static size_t format_special(double value, char *out)
{
    const char *text = std::isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";
    std::strcpy(out, text);
    return std::strlen(text);
}

static size_t format_as(double value, char *out, std::chars_format format)
{
    char *end = std::to_chars(out, out + MRD_DOUBLE_TEXT_MAX - 1, value, format).ptr;
    *end = 0;
    return static_cast<size_t>(end - out);
}

/* From here on a double is a whole number whose digits to_chars writes all; Go writes the shortest ones
 * and fills up with zeros. */
static const double whole_from = 1e15;

static size_t format_whole(double value, char *out)
{
    char digits[MRD_DOUBLE_TEXT_MAX];
    const size_t size = format_as(std::fabs(value), digits, std::chars_format::scientific);
    const char *mark = static_cast<const char *>(std::memchr(digits, 'e', size));
    const size_t exponent = static_cast<size_t>(std::atoi(mark + 1));
    char *at = out;
    if (value < 0) {
        *at++ = '-';
    }
    size_t written = 0;
    for (const char *digit = digits; digit != mark; digit++) {
        if (*digit != '.') {
            *at++ = *digit;
            written++;
        }
    }
    for (; written <= exponent; written++) {
        *at++ = '0';
    }
    *at = 0;
    return static_cast<size_t>(at - out);
}

size_t mrd_double_format_f(double value, char *out)
{
    if (!std::isfinite(value)) {
        return format_special(value, out);
    }
    if (std::fabs(value) >= whole_from) {
        const size_t size = format_as(value, out, std::chars_format::scientific);
        const char *mark = static_cast<const char *>(std::memchr(out, 'e', size));
        /* Digits behind the point only if the mantissa is longer than the exponent says. */
        const size_t mantissa = static_cast<size_t>(mark - out) - (value < 0 ? 1 : 0);
        const size_t exponent = static_cast<size_t>(std::atoi(mark + 1));
        if (mantissa <= exponent + 2) {
            return format_whole(value, out);
        }
    }
    return format_as(value, out, std::chars_format::fixed);
}

size_t mrd_double_format_json(double value, char *out)
{
    const double magnitude = std::fabs(value);
    if (!std::isfinite(value) || magnitude == 0 || (magnitude >= 1e-6 && magnitude < 1e21)) {
        return mrd_double_format_f(value, out);
    }
    return format_as(value, out, std::chars_format::scientific);
}

size_t mrd_double_format_g(double value, char *out)
{
    const double magnitude = std::fabs(value);
    if (!std::isfinite(value) || magnitude == 0 || (magnitude >= 1e-4 && magnitude < 1e6)) {
        return mrd_double_format_f(value, out);
    }
    return format_as(value, out, std::chars_format::scientific);
}

bool mrd_double_parse(const char *text, size_t size, double *out)
{
    const char *at = text;
    const char *end = text + size;
    const bool negative = at != end && *at == '-';
    if (at != end && (*at == '+' || *at == '-')) {
        at++;
    }
    if (at == end || *at == '+' || *at == '-') {
        return false;
    }
    double value = 0;
    const std::from_chars_result result = std::from_chars(at, end, value);
    if (result.ptr != end) {
        return false;
    }
    if (result.ec == std::errc::result_out_of_range) {
        value =
            std::strtod(std::string(at, end).c_str(), nullptr); /* infinity, zero or subnormal */
    } else if (result.ec != std::errc()) {
        return false;
    }
    *out = negative ? -value : value;
    return true;
}
