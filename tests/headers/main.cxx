// The linker is the test.
int main() {}
