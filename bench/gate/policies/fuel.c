// What fuel is measured on: a loop that does almost nothing, and a scan of JSON.
typedef unsigned char u8;
typedef unsigned int u32;

#define EXPORT(name) __attribute__((export_name(name)))

EXPORT("loop") u32 loop(u32 n) {
  u32 c = n;
  for (u32 i = 0; i < n; i++) c = (c >> 1) ^ (0xedb88320u & -(c & 1)) ^ i;
  return c;
}

static const char text[] =
    "{\"model\": \"m-large\", \"stream\": false, \"n\": 12, \"messages\": [{\"role\": \"user\", \"content\": \"why is the sky blue, and who "
    "asks? \\\"quoted\\\" text, with commas: [1, 2]\"}, {\"role\": \"assistant\", \"content\": \"because\"}], \"max_tokens\": 4096, "
    "\"tags\": [\"a\", \"b\", {\"c\": [1.5, -2e7, true, null]}], \"user\": \"u-77\"}";

// scan counts values, depth and digits of the text.
EXPORT("scan") u32 scan(u32 rounds) {
  u32 sum = 0;
  for (u32 r = 0; r < rounds; r++) {
    u32 depth = 0, values = 0, digits = 0;
    for (const char *p = text; *p; p++) {
      switch (*p) {
      case '{': case '[': depth++; break;
      case '}': case ']': depth--; break;
      case '"':
        for (p++; *p != '"'; p++) if (*p == '\\') p++;
        values++;
        break;
      case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7': case '8': case '9':
        digits = digits * 10 + (u32)(*p - '0');
        break;
      case 't': case 'f': case 'n': values++; break;
      }
    }
    sum += values + depth + digits;
  }
  return sum;
}
