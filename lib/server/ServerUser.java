package lib.server;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFileAttributeView;
import java.nio.file.attribute.UserPrincipal;
import java.util.ArrayList;
import java.util.List;
import lib.error.Failure;
import lib.error.Problem;
import lib.process.Program;

/**
 * Who a server of ours runs as: ourselves, but where we are root somebody else, because postgres refuses to be root.
 *
 * @param name   null for ourselves
 * @param prefix what comes in front of a command to run it as that user; empty for ourselves
 */
record ServerUser(String name, List<String> prefix) {
    private static final ServerUser OURSELVES = new ServerUser(null, List.of());

    /** @throws Failure {@link Problem.NoServerUser} */
    static ServerUser choose() {
        return ownUid() == 0 ? insteadOfRoot() : OURSELVES;
    }

    static long ownUid() {
        return Long.parseLong(Program.of("id", "-u").output().strip());
    }

    /** postgres before nobody, which on some machines other services run as: what is restored is the user's data. */
    private static ServerUser insteadOfRoot() {
        for (var name : List.of("postgres", "nobody")) {
            if (principal(name) == null) continue;
            for (var prefix : List.of(List.of("runuser", "-u", name, "--"), List.of("setpriv", "--reuid=" + name, "--regid=" + name, "--clear-groups", "--"),
                    List.of("su-exec", name), List.of("gosu", name), List.of("sudo", "-n", "-u", name, "--"))) {
                var program = onPath(prefix.getFirst());
                if (program == null) continue;
                var user = new ServerUser(name, replaceFirst(prefix, program.toString()));
                var id = user.program("id", "-u").run();
                if (id.code() == 0 && !id.out().strip().equals("0")) return user;
            }
        }
        throw new Failure(new Problem.NoServerUser());
    }

    /** cron's PATH has no sbin. */
    private static Path onPath(String program) {
        var folders = new ArrayList<>(Program.path());
        folders.addAll(List.of(Path.of("/usr/sbin"), Path.of("/sbin")));
        return folders.stream().map(folder -> folder.resolve(program)).filter(Files::isExecutable).findFirst().orElse(null);
    }

    private static List<String> replaceFirst(List<String> list, String first) {
        var replaced = new ArrayList<>(list);
        replaced.set(0, first);
        return List.copyOf(replaced);
    }

    private static UserPrincipal principal(String name) {
        try {
            return Path.of("/").getFileSystem().getUserPrincipalLookupService().lookupPrincipalByName(name);
        } catch (IOException unknown) {
            return null;
        }
    }

    boolean ourselves() {
        return name == null;
    }

    /** Run as this user, in a folder that everybody can enter; of our environment it gets nothing but PATH: a .env may be in there. */
    Program program(String... argv) {
        var all = new ArrayList<>(prefix);
        all.addAll(List.of(argv));
        return bare(Program.of(all)).in(Path.of("/"));
    }

    /** In the C locale, so that messages are the ones we know. */
    static Program bare(Program program) {
        return program.withoutEnv("").env("PATH", System.getenv().getOrDefault("PATH", "/usr/local/bin:/usr/bin:/bin")).env("LC_ALL", "C");
    }

    /** A folder, or a program to start, and every folder above it. */
    boolean canEnter(Path path) {
        return ourselves() || program("test", "-x", path.toString()).run().code() == 0;
    }

    void own(Path path) throws IOException {
        if (!ourselves()) Files.getFileAttributeView(path, PosixFileAttributeView.class, LinkOption.NOFOLLOW_LINKS).setOwner(principal(name));
    }
}
