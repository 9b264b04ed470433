/* s3_xml.h: the XML that S3 answers with, read with expat.
 *
 * Outside bytes: document types and entities beyond the five of XML are refused, depth and text are
 * bounded, and what does not fit is MRD_E_CORRUPT rather than guessed at.
 *
 * Threads: pure functions.
 */
#ifndef MRD_OBJSTORE_S3_XML_H
#define MRD_OBJSTORE_S3_XML_H

#include <stdbool.h>

#include "base/bytes.h"

enum { S3_XML_DEPTH_MAX = 8, S3_XML_TEXT_MAX = 8192, S3_XML_PATH_MAX = 256 };

/* One element, at its end: "/Error/Code" and its character data (empty if it has more elements, or
 * nothing). False: this cannot be; the parse ends with MRD_E_CORRUPT. */
typedef bool s3_xml_visit(void *context, const char *path, const char *text);

/* Visits every element of a document; `what` ("list") is for the error text. */
MRD_MUST_CHECK enum mrd_status s3_xml_parse(struct mrd_bytes document, const char *what,
                                            s3_xml_visit *visit, void *context,
                                            struct mrd_error *err);

/* What went wrong, of an <Error> document. Fields are "" where nothing usable is found; never fails, as
 * proxies answer with anything. */
struct s3_xml_error {
    char code[64];
    char message[200];
    char region[64];
};
void s3_xml_error_parse(struct mrd_bytes document, struct s3_xml_error *out);

/* Copies text into a field if it fits and is printable ASCII (UTF-8's other bytes become '?'). */
void s3_xml_copy(char *out, size_t size, const char *text);

#endif
