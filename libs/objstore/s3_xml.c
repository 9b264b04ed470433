#include "objstore/s3_xml.h"

#include <expat.h>
#include <stdio.h>

struct walk {
    XML_Parser parser;
    s3_xml_visit *visit;
    void *context;
    char path[S3_XML_PATH_MAX];
    size_t path_size;
    size_t depth;
    char text[S3_XML_TEXT_MAX + 1];
    size_t text_size;
    const char *fault; /* NULL: none */
};

static void walk_stop(struct walk *walk, const char *fault)
{
    if (walk->fault == NULL) {
        walk->fault = fault;
        (void)XML_StopParser(walk->parser, XML_FALSE);
    }
}

static void XMLCALL on_start(void *context, const XML_Char *name, const XML_Char **attributes)
{
    struct walk *walk = context;
    (void)attributes; /* S3 has nothing but name spaces in them */
    const size_t size = strlen(name);
    if (walk->depth == S3_XML_DEPTH_MAX || size + 1 >= sizeof(walk->path) - walk->path_size) {
        walk_stop(walk, "is too deep");
        return;
    }
    walk->path[walk->path_size] = '/';
    memcpy(walk->path + walk->path_size + 1, name, size + 1);
    walk->path_size += size + 1;
    walk->depth++;
    walk->text_size = 0;
}

static void XMLCALL on_text(void *context, const XML_Char *text, int size)
{
    struct walk *walk = context;
    if ((size_t)size > S3_XML_TEXT_MAX - walk->text_size) {
        walk_stop(walk, "has an overlong text");
        return;
    }
    memcpy(walk->text + walk->text_size, text, (size_t)size);
    walk->text_size += (size_t)size;
}

static void XMLCALL on_end(void *context, const XML_Char *name)
{
    struct walk *walk = context;
    (void)name;
    if (walk->fault != NULL) {
        return; /* expat may call on after a stop */
    }
    walk->text[walk->text_size] = 0;
    if (!walk->visit(walk->context, walk->path, walk->text)) {
        walk_stop(walk, "has a field that cannot be");
        return;
    }
    char *slash = strrchr(walk->path, '/');
    *slash = 0;
    walk->path_size = (size_t)(slash - walk->path);
    walk->depth--;
    walk->text_size = 0; /* white space between elements is nobody's text */
}

static void XMLCALL on_doctype(void *context, const XML_Char *name, const XML_Char *system_id,
                               const XML_Char *public_id, int internal)
{
    (void)name;
    (void)system_id;
    (void)public_id;
    (void)internal;
    walk_stop(context, "has a document type");
}

static enum mrd_status parse_all(struct walk *walk, struct mrd_bytes document, const char *what,
                                 struct mrd_error *err)
{
    if (document.size > INT32_MAX) {
        return mrd_fail(err, MRD_E_CORRUPT, "S3's answer (%s) is too long", what);
    }
    const enum XML_Status parsed =
        XML_Parse(walk->parser, (const char *)document.data, (int)document.size, XML_TRUE);
    if (walk->fault != NULL) {
        return mrd_fail(err, MRD_E_CORRUPT, "S3's answer (%s) %s", what, walk->fault);
    }
    if (parsed != XML_STATUS_OK) {
        return mrd_fail(err, MRD_E_CORRUPT, "S3's answer (%s) is no XML: %s", what,
                        XML_ErrorString(XML_GetErrorCode(walk->parser)));
    }
    return MRD_OK;
}

enum mrd_status s3_xml_parse(struct mrd_bytes document, const char *what, s3_xml_visit *visit,
                             void *context, struct mrd_error *err)
{
    struct walk walk = {.visit = visit, .context = context};
    walk.parser = XML_ParserCreate("UTF-8");
    mrd_assert(walk.parser != NULL);
    XML_SetUserData(walk.parser, &walk);
    XML_SetElementHandler(walk.parser, on_start, on_end);
    XML_SetCharacterDataHandler(walk.parser, on_text);
    XML_SetStartDoctypeDeclHandler(walk.parser, on_doctype);
    const enum mrd_status status = parse_all(&walk, document, what, err);
    XML_ParserFree(walk.parser);
    return status;
}

void s3_xml_copy(char *out, size_t size, const char *text)
{
    size_t used = 0;
    for (; *text != 0 && used + 1 < size; text++) {
        out[used++] = *text >= ' ' && *text < 0x7f ? *text : '?';
    }
    out[used] = 0;
}

static bool take_error_field(void *context, const char *path, const char *text)
{
    struct s3_xml_error *error = context;
    if (strcmp(path, "/Error/Code") == 0) {
        s3_xml_copy(error->code, sizeof(error->code), text);
    } else if (strcmp(path, "/Error/Message") == 0) {
        s3_xml_copy(error->message, sizeof(error->message), text);
    } else if (strcmp(path, "/Error/Region") == 0) {
        s3_xml_copy(error->region, sizeof(error->region), text);
    }
    return true;
}

void s3_xml_error_parse(struct mrd_bytes document, struct s3_xml_error *out)
{
    *out = (struct s3_xml_error){0};
    /* What was read before a fault is still the best to say. */
    (void)!s3_xml_parse(document, "error", take_error_field, out, NULL);
}
