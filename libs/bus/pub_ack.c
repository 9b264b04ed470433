#include "bus/pub_ack.h"

/* A reader for the little JSON that the server writes: objects, strings, integers and literals. */
struct json {
    struct mrd_reader in;
};

static void skip_space(struct json *json)
{
    while (json->in.at < json->in.end && (*json->in.at == ' ' || *json->in.at == '\n' ||
                                          *json->in.at == '\t' || *json->in.at == '\r')) {
        json->in.at++;
    }
}

static bool take(struct json *json, char want)
{
    skip_space(json);
    if (json->in.at < json->in.end && *json->in.at == (uint8_t)want) {
        json->in.at++;
        return true;
    }
    return false;
}

static char peek(struct json *json)
{
    skip_space(json);
    return json->in.at < json->in.end ? (char)*json->in.at : '\0';
}

/* The bytes between quotes, escapes left as they are. */
static bool take_string(struct json *json, struct mrd_bytes *out)
{
    if (!take(json, '"')) {
        return false;
    }
    const uint8_t *start = json->in.at;
    bool escaped = false;
    while (json->in.at < json->in.end && (escaped || *json->in.at != '"')) {
        escaped = !escaped && *json->in.at == '\\';
        json->in.at++;
    }
    if (json->in.at == json->in.end) {
        return false;
    }
    *out = (struct mrd_bytes){start, (size_t)(json->in.at - start)};
    json->in.at++;
    return true;
}

/* A number or literal, up to the next comma or brace. */
static bool take_word(struct json *json, struct mrd_bytes *out)
{
    skip_space(json);
    const uint8_t *start = json->in.at;
    while (json->in.at < json->in.end && strchr(",}] \n\r\t", *json->in.at) == NULL) {
        json->in.at++;
    }
    *out = (struct mrd_bytes){start, (size_t)(json->in.at - start)};
    return out->size > 0;
}

static bool word_number(struct mrd_bytes word, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < word.size; i++) {
        const uint8_t digit = (uint8_t)(word.data[i] - '0');
        if (digit > 9 || value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *out = value;
    return word.size > 0;
}

static bool take_error(struct json *json, struct mrd_pub_ack *ack);

static bool take_member(struct json *json, struct mrd_bytes name, struct mrd_pub_ack *ack,
                        bool in_error)
{
    struct mrd_bytes value;
    uint64_t number = 0;
    if (peek(json) == '{') {
        return !in_error && mrd_bytes_equal(name, MRD_BYTES("error")) && take_error(json, ack);
    }
    if (peek(json) == '"') {
        if (!take_string(json, &value)) {
            return false;
        }
        if (in_error && mrd_bytes_equal(name, MRD_BYTES("description"))) {
            const size_t size = MRD_MIN(value.size, sizeof(ack->text) - 1);
            memcpy(ack->text, value.data, size);
            ack->text[size] = '\0';
        }
        return true;
    }
    if (!take_word(json, &value)) {
        return false;
    }
    if (!in_error && mrd_bytes_equal(name, MRD_BYTES("seq"))) {
        ack->stored = word_number(value, &ack->sequence);
        return ack->stored;
    }
    if (!in_error && mrd_bytes_equal(name, MRD_BYTES("duplicate"))) {
        ack->duplicate = mrd_bytes_equal(value, MRD_BYTES("true"));
    }
    if (in_error && mrd_bytes_equal(name, MRD_BYTES("code")) && word_number(value, &number)) {
        ack->code = (int)MRD_MIN(number, (uint64_t)99999);
    }
    if (in_error && mrd_bytes_equal(name, MRD_BYTES("err_code")) && word_number(value, &number)) {
        ack->error_code = (int)MRD_MIN(number, (uint64_t)999999);
    }
    return true;
}

static bool take_object(struct json *json, struct mrd_pub_ack *ack, bool in_error)
{
    if (!take(json, '{')) {
        return false;
    }
    if (take(json, '}')) {
        return true;
    }
    do {
        struct mrd_bytes name;
        if (!take_string(json, &name) || !take(json, ':') ||
            !take_member(json, name, ack, in_error)) {
            return false;
        }
    } while (take(json, ','));
    return take(json, '}');
}

static bool take_error(struct json *json, struct mrd_pub_ack *ack)
{
    if (!take_object(json, ack, true)) {
        return false;
    }
    ack->code = ack->code == 0 ? 500 : ack->code;
    return true;
}

bool mrd_pub_ack_parse(struct mrd_bytes bytes, struct mrd_pub_ack *out)
{
    struct mrd_pub_ack ack = {0};
    struct json json = {mrd_reader_of(bytes)};
    if (!take_object(&json, &ack, false) || (!ack.stored && ack.code == 0)) {
        return false;
    }
    if (ack.code != 0) {
        ack.stored = false; /* errors carry "seq":0 beside them */
    }
    *out = ack;
    return true;
}
