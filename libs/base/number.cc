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

size_t mrd_double_format_f(double value, char *out)
{
    return std::isfinite(value) ? format_as(value, out, std::chars_format::fixed)
                                : format_special(value, out);
}

size_t mrd_double_format_json(double value, char *out)
{
    const double magnitude = std::fabs(value);
    if (!std::isfinite(value) || magnitude == 0 || (magnitude >= 1e-6 && magnitude < 1e21)) {
        return mrd_double_format_f(value, out);
    }
    size_t size = format_as(value, out, std::chars_format::scientific);
    if (size >= 4 && std::memcmp(out + size - 4, "e-0", 3) == 0) {
        out[size - 2] = out[size - 1]; /* as encoding/json: e-09 becomes e-9 */
        out[--size] = 0;
    }
    return size;
}

size_t mrd_double_format_g(double value, char *out)
{
    const double magnitude = std::fabs(value);
    if (!std::isfinite(value) || magnitude == 0 || (magnitude >= 1e-4 && magnitude < 1e21)) {
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
