//go:build linux

#include "textflag.h"

// func initCode() *byte
TEXT ·initCode(SB), NOSPLIT, $0-8
	LEAQ ·initMain(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// initMain is all of the program that idles in a sandbox of a pool, until a workload takes its place. It is copied out of
// here (executable): it has no stack frame, no data and no address of its own. Never called.
//
// It is started with the arguments NAME, the paths to try, an empty one, and the workload's command. On descriptor 0 it
// says '.', and waits for a byte: for 'g' it executes the command, for any other it says '.' again. Where it can do
// neither, it ends with status 127.
TEXT ·initMain(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ SP, R12            // the number of arguments; then they, 0, the environment, 0
	LEAQ -128(R12), R13     // 16 bytes to work with: nothing else uses this stack

hello:
	MOVB $'.', (R13)
	MOVL $1, AX             // write(0, ".", 1)
	XORL DI, DI
	MOVQ R13, SI
	MOVL $1, DX
	SYSCALL
	XORL AX, AX             // read(0, …, 1)
	XORL DI, DI
	MOVQ R13, SI
	MOVL $1, DX
	SYSCALL
	CMPQ AX, $1
	JNE  quit               // nobody is there
	CMPB (R13), $'g'
	JNE  hello

	MOVL $3, AX             // close(0)
	XORL DI, DI
	SYSCALL
	MOVQ $0x6c756e2f7665642f, AX // "/dev/nul"
	MOVQ AX, (R13)
	MOVQ $0x6c, 8(R13)      // "l"
	MOVL $2, AX             // open("/dev/null", O_RDONLY): descriptor 0, as it is without a pool
	MOVQ R13, DI
	XORL SI, SI
	XORL DX, DX
	SYSCALL
	TESTQ AX, AX
	JNE  quit

	LEAQ 16(R12), R14       // the first path to try
	MOVQ R14, R15

separator:
	MOVQ (R15), AX
	ADDQ $8, R15            // behind the empty one: the command
	CMPB (AX), $0
	JNE  separator
	MOVQ (R12), AX
	LEAQ 16(R12)(AX*8), BX  // the environment

try:
	MOVQ (R14), DI
	CMPB (DI), $0
	JEQ  quit
	MOVL $59, AX            // execve(path, command, environment) returns only where it can't
	MOVQ R15, SI
	MOVQ BX, DX
	SYSCALL
	ADDQ $8, R14
	JMP  try

quit:
	MOVL $231, AX           // exit_group(127)
	MOVL $127, DI
	SYSCALL
	UNDEF                   // the program ends here
	UNDEF

// func guardCode() *byte
TEXT ·guardCode(SB), NOSPLIT, $0-8
	LEAQ ·guardMain(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// guardMain is all of the program that stands by a sandbox (guardProgram). Like initMain it is copied out of here, and
// never called. When there is nothing more to read from descriptor 0, it sends SIGKILL to the process of which descriptor
// 3 is, and ends with status 0.
TEXT ·guardMain(SB), NOSPLIT|NOFRAME, $0-0
	LEAQ -128(SP), R13      // nothing else uses this stack

listen:
	XORL AX, AX             // read(0, …, 1)
	XORL DI, DI
	MOVQ R13, SI
	MOVL $1, DX
	SYSCALL
	CMPQ AX, $-4            // EINTR
	JEQ  listen
	CMPQ AX, $0
	JGT  listen

	MOVL $424, AX           // pidfd_send_signal(3, SIGKILL, 0, 0)
	MOVL $3, DI
	MOVL $9, SI
	XORL DX, DX
	XORL R10, R10
	SYSCALL
	MOVL $231, AX           // exit_group(0)
	XORL DI, DI
	SYSCALL
	UNDEF                   // the program ends here
	UNDEF
