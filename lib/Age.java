package lib;
import java.io.*;
import java.util.List;
public interface Age { OutputStream encrypting(OutputStream o) throws IOException; InputStream reading(InputStream i) throws IOException; List<String> names(); }
