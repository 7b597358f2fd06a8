// Work with loops, calls, memory and tables, to compare a module with its rewritten form.
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

static u32 data[4096];
static u8 text[8192];

static u32 next(u32 *s) { *s ^= *s << 13; *s ^= *s >> 17; *s ^= *s << 5; return *s; }

u32 crc(u32 seed, u32 n) {
  u32 c = ~seed;
  n &= 1023;
  for (u32 i = 0; i < n; i++) {
    c ^= (u8)(seed >> (i & 24)) + i;
    for (int k = 0; k < 8; k++) c = c >> 1 ^ (0xedb88320u & -(c & 1));
  }
  return ~c;
}

static void sort(u32 *a, int lo, int hi) {
  while (lo < hi) {
    u32 p = a[(lo + hi) / 2];
    int i = lo, j = hi;
    while (i <= j) {
      while (a[i] < p) i++;
      while (a[j] > p) j--;
      if (i <= j) { u32 t = a[i]; a[i++] = a[j]; a[j--] = t; }
    }
    sort(a, lo, j);
    lo = i;
  }
}

u64 quicksort(u32 seed, u32 n) {
  n &= 1023;
  seed |= 1;
  for (u32 i = 0; i < n; i++) data[i] = next(&seed);
  sort(data, 0, (int)n - 1);
  u64 h = 0;
  for (u32 i = 0; i < n; i++) h = h * 31 + data[i];
  return h;
}

static u32 add(u32 a, u32 b) { return a + b; }
static u32 sub(u32 a, u32 b) { return a - b; }
static u32 mul(u32 a, u32 b) { return a * b; }
static u32 rot(u32 a, u32 b) { return a << (b & 31) | a >> (-b & 31); }
static u32 (*const ops[])(u32, u32) = {add, sub, mul, rot};

u32 calls(u32 seed, u32 n) {
  u32 acc = seed | 1, s = seed | 1;
  for (n &= 511; n; n--) acc = ops[next(&s) & 3](acc, s);
  return acc;
}

u32 parse(u32 seed, u32 n) {
  u32 s = seed | 1, words = 0, depth = 0, in = 0;
  n &= 4095;
  for (u32 i = 0; i < n; i++) text[i] = " ,;(){}ab0"[next(&s) % 10];
  for (u32 i = 0; i < n; i++) {
    switch (text[i]) {
    case ' ': case ',': case ';': in = 0; break;
    case '(': case '{': depth++; in = 0; break;
    case ')': case '}': if (!depth) return words << 16 | i; depth--; break;
    case '0': if (in) words += 2; break;
    default: words += !in; in = 1;
    }
  }
  return words << 16 | depth;
}

u32 ackermann(u32 m, u32 n) {
  m &= 1; n &= 63;
  extern u32 ack(u32, u32);
  return ack(m, n);
}

__attribute__((noinline)) u32 ack(u32 m, u32 n) {
  if (!m) return n + 1;
  return ack(m - 1, n ? ack(m, n - 1) : 1);
}

double mandel(u32 seed, u32 n) {
  double sum = 0;
  for (u32 y = 0; y < (n & 15); y++) {
    double cr = (double)(seed & 255) / 128 - 1.5, ci = (double)y / 8 - 1, r = 0, i = 0;
    int k = 0;
    while (r * r + i * i < 4 && k < 50) { double t = r * r - i * i + cr; i = 2 * r * i + ci; r = t; k++; }
    sum += k + r;
  }
  return sum;
}
