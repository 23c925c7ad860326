import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;

public class Client {
  public static void main(String[] words) throws Exception {
    var request = HttpRequest.newBuilder(URI.create(words[0]))
        .header("content-type", "application/json")
        .POST(HttpRequest.BodyPublishers.ofFile(Path.of(words[1])))
        .build();
    // By default the client asks for HTTP/2 by an upgrade, as for any `http://` URL.
    var answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
    System.out.print(answer.statusCode());
  }
}
